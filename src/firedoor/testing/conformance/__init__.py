"""What an implementation of ``ports.streams`` has to keep, one case a promise."""
