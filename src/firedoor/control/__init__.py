"""The control plane: what happened, told from records; what should be, as orders."""
