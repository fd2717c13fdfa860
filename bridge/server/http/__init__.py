"""Connections and messages: bounds on what is read, and the refusal of bytes that are no valid request.

Rule of this folder: only HTTP. Nothing of the market is known here; `admission` decides which requests may begin.
"""
