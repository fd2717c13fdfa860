"""Order books from PyPI, each behind an adapter: a bid rests as an order to buy one, a call is an order to sell k.

None of them is needed: the table says which are not installed, and `packages.txt` beside it names them.
"""
