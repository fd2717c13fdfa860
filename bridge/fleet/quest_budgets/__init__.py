"""What each quest may spend in a day, as allocated by the scorer and kept in plain tables.

Rule of this folder: it moves no token of the ledger, and knows neither the scorer nor the market.
"""
