"""The running market: ordering, leading, waiting until it is durable.

Rule of this folder: whatever changes the market passes the sequencer.
"""
