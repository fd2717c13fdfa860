"""The economy over weeks: wallets that bid badly, are priced out, earn by good work, and come back.

Rule of this folder: bidders and luck are drawn from a seed; the market is the real one, on a real PostgreSQL. What is
told of tokens is read from the ledger afterwards, not remembered by the simulated bidders.
"""
