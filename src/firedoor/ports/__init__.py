"""What firedoor needs from the world, as protocols; ``firedoor.adapters`` fulfil them."""
