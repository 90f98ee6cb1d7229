"""Hangs when it is imported by a worker."""

import time

from wall import steps

time.sleep(steps.FOREVER_S)
