"""MLflow: an extra. Only modules of this folder import it, and only when they are asked."""
