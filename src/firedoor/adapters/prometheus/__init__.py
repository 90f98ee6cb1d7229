"""Metrics for whoever scrapes them as Prometheus does."""
