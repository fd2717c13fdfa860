"""From the bytes of one request to its endpoint, its caller and its arguments.

Rule of this folder: pure and strict. Every value has one spelling, and an error names field, value and bound.
"""
