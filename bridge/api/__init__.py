"""What the market can be asked and what it answers: shapes, checks and errors.

Rule of this folder: it describes and computes, for both ends of a connection. Nothing here waits, and nothing has a
thread or a connection of its own.
"""
