"""Walls and workers: where user code runs."""
