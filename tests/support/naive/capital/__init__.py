"""Artifact markets, naively: RULES.md from "Artifact markets: money" on, with lists, loops and eighty-digit logarithms.

Rule of this folder: that of `tests.support.naive`. What the engine does in fixed point is done here with real numbers
(`maker`), and is rounded once, where the rule says so.
"""
