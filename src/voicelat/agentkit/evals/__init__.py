"""Evals: cases a workflow must pass, with a scripted model or a live one."""
