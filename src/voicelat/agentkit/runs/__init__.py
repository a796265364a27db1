"""Durable runs: what happens in a call becomes a job that survives whatever happens to us.

The call's side (`event`, `outbox`, `feed`) imports nothing heavy and waits for nothing. The
agents' side (everything else) lives in a process of its own, on DBOS.
"""
