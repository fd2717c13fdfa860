"""The market itself: a pure, deterministic state machine. Values in, values out.

Rule of this folder: no clock, no randomness, no float, no I/O. Time arrives stamped on the `Entry`;
whatever must survive leaves as events.
"""
