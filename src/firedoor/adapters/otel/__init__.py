"""Traces, metrics and log lines for whoever speaks OpenTelemetry. Needs ``firedoor[otel]``."""
