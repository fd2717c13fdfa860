"""Moves bytes to PostgreSQL and back.

Rule of this folder: it knows the database and decides nothing about the market.
"""
