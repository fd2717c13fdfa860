"""The ledger in the words of others: logs of an ERC-20 token, and text for accounting tools; and such logs read back.

Rule of this folder: pure; values in, values out. Nothing here reads a table, and nothing knows an operation.
"""
