"""What others do with one poison row in 10,000, each in a process of its own with a hard limit."""
