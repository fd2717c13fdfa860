"""Studies: the demo, the arena, the economy.

Rule of this folder: nothing of the product imports it, but the command line.
"""
