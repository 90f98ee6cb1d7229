"""Versions of a model: what may become of them. Pure."""
