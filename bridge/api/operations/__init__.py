"""The operations of the market, one file per subject: arguments with their bounds, and results.

Rule of this folder: each operation is declared once, and the class at the end of each file lists its operations as
methods. SQL is in `persistence.queries` and `persistence.stores`; the rules of the market are in `engine`.
"""
