"""Rules about what is declared: pure judgements on a plan."""
