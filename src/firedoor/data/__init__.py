"""The data plane: runners that move batches through zones."""
