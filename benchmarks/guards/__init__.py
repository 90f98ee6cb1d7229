"""Guards beside other libraries: what a call costs, and what becomes of a fleet in an outage."""
