"""Guards at work: the mechanisms of ``guards`` with clocks, locks, threads and event loops."""
