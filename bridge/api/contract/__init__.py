"""How an operation is declared: its signature and bounds, its plan, its pages and results.

Rule of this folder: no operation is known here. Pure; nothing waits.
"""
