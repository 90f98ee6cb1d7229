"""What a wall and its worker say to each other."""
