"""NATS JetStream: the broker of a pipeline, started here or reached by its address."""

try:
    import nats as _nats
except ModuleNotFoundError as error:  # pragma: no cover - the test environment has it
    message = "pipelines need the broker's client and server: pip install 'firedoor[run]'"
    raise ModuleNotFoundError(message, name="nats") from error

del _nats
