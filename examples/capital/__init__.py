"""From knowledge to capital to research: a market of positions in artifacts, in virtual days on the real engine.

Rule of this folder: the engine with a clock of its own; nothing is kept when it ends.
"""
