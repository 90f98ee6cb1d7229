"""Servers to compare with, each a program: ``python -m benchmarks.serving.peers.NAME PORT FOLDER``.

All hold the same model, answer ``{"predictions": [...]}`` or as their protocol has it, and do with
a request what their own guides show.
"""
