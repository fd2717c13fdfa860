"""The edge of the market: agents in, replies out.

Rule of this folder: user-facing units (dates, dollars, impact as a number) become the engine's whole numbers here, and
errors become exceptions here. The engine decides what is allowed; persistence makes it safe.
"""
