"""The commands on the ledger for others: `export` and `import-chain`.

Rule of this folder: that of its parent.
"""
