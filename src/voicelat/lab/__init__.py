"""The laboratory: recorded calls, listened to once, simulated as often as you like.

`recordings` finds calls, `listen` hears them once, `truth` says which pauses were the end of a
turn, `simulate` puts a call through the real machine in virtual time, `sweep` judges thousands
of settings at once.
"""
