"""The page where people watch, and decide."""
