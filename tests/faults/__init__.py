"""Real faults on a real market: one driver, many small faults, and a table of what happened.

Rule of this package: nothing is pretended. Processes are killed and frozen by signals, disks are filled, bytes are
changed where they lie, and what was acknowledged is held against what is there.
"""
