"""What a platform of agents does with the market.

Rule of this folder: it is a user of the market and has no rights of its own.
"""
