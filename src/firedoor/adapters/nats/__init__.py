"""Streams on NATS JetStream."""
