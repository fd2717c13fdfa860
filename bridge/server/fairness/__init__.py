"""Limits on what is under way at a time, and turns for the keys, so that no key starves another.

Rule of this folder: it decides when a request is served, never what the answer is.
"""
