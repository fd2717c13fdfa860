"""Whether the machine's clock is right: three clocks are compared, and where they differ nothing is stamped.

Rule of this folder: `judge` decides without reading a clock, `opening` whether a process may begin to lead, `keeper`
reads clocks and is asked from all threads, `messages` says all of it to people.
"""
