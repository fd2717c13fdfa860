"""How operations are declared: signatures with bounds, plans, pages and results.

Rule of this folder: pure; nothing waits, and nothing depends on a particular operation.
"""
