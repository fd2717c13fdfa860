"""When markets are called: the settings, the schedule, and what carries it out.

Rule of this folder: `schedule` decides without a clock, `queries` asks the state, `clearing` waits and calls. The
engine knows nothing of it: a call is a command as any other.
"""
