"""What a wall costs, what it saves, and what others do on the same work: ``make bench``."""
