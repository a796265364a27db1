"""Agents that do back-office work beside the call, in processes of their own."""
