"""Moves bytes to PostgreSQL and back. Rule: it knows the database and decides nothing about the market."""
