"""Joins planes with adapters: processes, projects, stages."""
