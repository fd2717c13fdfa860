"""A load generator for the served market, and what it finds out (`python3 dev.py load`).

Rule of this folder: the service, its PostgreSQL and the client are processes of their own, as in life, and what the
client was told is looked up in the database afterwards.
"""
