"""Plain tables beside the journal: keys, cycles, artifacts, budgets, debts, work.

Rule of this folder: statements only. No row here holds a token; what a row means is for the bridge.
"""
