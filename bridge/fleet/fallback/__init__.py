"""The daily budget that pays for work while the auction cannot be used, and the switch between the two.

Rule of this folder: it moves no token of the ledger. A task is paid by whom its claim names, and a source of tasks
gives a task's claim to one: so budget and auction never pay for the same attempt, whatever either of them believes.
"""
