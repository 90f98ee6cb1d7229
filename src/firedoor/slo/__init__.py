"""Objectives: budgets, and when it is time to wake somebody. Pure."""
