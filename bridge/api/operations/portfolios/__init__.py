"""Portfolios: what accounts have in artifact markets, what it has earned, and who does best.

Rule of this folder: questions only. What each figure means, and what it does not, is in docs/portfolios.md.
"""
