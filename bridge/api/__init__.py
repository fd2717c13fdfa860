"""The API of the market: its operations, their arguments and results, checks and errors.

Rule of this folder: descriptions and pure functions, used by both ends of a connection. Nothing here waits, and nothing
owns a thread or a connection.
"""
