"""Calls placed at a server from the outside, and what their callers heard."""

__all__: list[str] = []
