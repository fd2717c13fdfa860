"""Durable events as a live stream, resumable by seq; and waiting for an award.

Rule of this folder: only durable rows leave, in order, and a message follows from its journal row alone.
It knows nothing of HTTP: `sse` makes the text, a server sends it.
"""
