"""The engine of the demo as a process of its own, which is killed in the middle, and its database.

Rule of this folder: real processes, pipes and databases; what is played is not known here.
"""
