"""Service level objectives: pure decisions about error budgets, and about who is told when."""
