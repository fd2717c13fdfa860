"""Artifact markets in user-facing units: receipts of orders, the book, quotes, positions and payouts.

Rule of this folder: pure. Shares, prices and parts of a token are numbers with at most six decimal places, exact as
floats: each is a whole number of millionths. Nothing is decided or rounded here that the engine has not decided.
"""
