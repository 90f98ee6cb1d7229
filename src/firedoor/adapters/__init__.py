"""Technologies that fulfil the ports: one folder, or module, each."""
