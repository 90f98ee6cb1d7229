"""Crashes when it is imported by a worker."""

import ctypes

ctypes.string_at(0)
