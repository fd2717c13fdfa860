"""What the market can be asked and what it answers: shapes, checks and errors.

Rule of this folder: no HTTP, no thread, no connection of its own.
"""
