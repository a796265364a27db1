"""The turn as a state machine: events and the time go in, effects and a deadline come out.

Pure: no clock, no I/O, no threads, no logging. See `voicelat.turn.machine`.
"""
