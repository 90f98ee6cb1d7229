"""Drills: which faults there are, what they may do, and what is made of what was seen. Pure."""
