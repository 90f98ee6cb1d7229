"""The serving path: what becomes of a request between its arrival and its answer."""
