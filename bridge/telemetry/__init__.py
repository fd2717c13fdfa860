"""What operators see of the market: log lines and metrics.

Rule of this folder: it looks on. Nothing here decides anything, and nothing of it is paid for where a command is done
but a few additions to whole numbers.
"""
