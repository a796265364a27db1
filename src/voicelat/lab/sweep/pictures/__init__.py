"""A sweep for people: in the terminal, and as one page."""
