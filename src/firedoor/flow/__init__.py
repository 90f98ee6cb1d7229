"""Pure decisions of the flow between zones: state machines, attempts, verdicts."""
