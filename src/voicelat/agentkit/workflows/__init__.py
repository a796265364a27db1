"""Workflows as data: small graphs of agents and tools, checked, drawn, exported and versioned."""
