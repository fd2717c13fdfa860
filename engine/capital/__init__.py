"""Artifact markets: positions in artifacts at the price of an automated market maker, beside orders that rest.

Rule of this folder: as pure as the auction beside it. Money in here is counted in millionths of a token and never
rounded away: whole tokens are in the ledger, what is started of one is in a purse, and both add up (CAP-2). The words
are those of prediction markets: a share pays one token if its side is worth 1.
"""
