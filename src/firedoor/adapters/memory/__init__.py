"""The reference implementation of streams, in memory."""
