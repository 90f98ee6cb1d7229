"""Pure judgements on the quality of a batch."""
