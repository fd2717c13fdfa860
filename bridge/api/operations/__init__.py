"""The operations of the market, a file a subject: what is asked, with which bounds, and what comes back.

Rule of this folder: each operation is declared once, and its class at the end of a file lists them as methods. A
question to the tables is asked in `persistence.queries` or `persistence.stores`; a rule of the market is the engine's.
"""
