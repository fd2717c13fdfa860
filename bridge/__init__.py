"""The edge of the market: agents in, replies out.

Rule of this folder: people's units (dates, dollars, impact as a number) become the engine's whole numbers here, and
errors become exceptions here. What may be done is for the engine; what is safe is for persistence.
"""
