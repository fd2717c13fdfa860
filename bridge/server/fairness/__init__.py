"""So many of each thing at a time, and keys in turns, so that nobody starves another.

Rule of this folder: it decides when, never what.
"""
