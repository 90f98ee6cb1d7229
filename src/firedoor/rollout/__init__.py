"""Rollouts: pure decisions whether a new version is as good as the one that serves."""
