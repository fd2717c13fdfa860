"""Connections and messages: what is read, how much, how long, and what is refused before it is a request.

Rule of this folder: HTTP alone. Nothing of the market is known here; who may begin is asked of `admission`.
"""
