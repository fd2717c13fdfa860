"""The journal: what a row is, where rows are kept, and the one way a row is written (`execute_journaled`).

Rule of this folder: a row is written behind its fence (the epoch and the digest of the row before it) or not at all.
"""
