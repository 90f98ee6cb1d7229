"""OpenFeature: flags for code that asks by that interface."""
