"""Raises when it is imported."""

message = "the settings are not there"
raise RuntimeError(message)
