"""From the bytes of one request to its endpoint, its caller and its arguments.

Rule of this folder: pure and strict. One thing has one spelling, and what is wrong is told by field, value and bound.
"""
