"""A platform in one process: score, bid, call, work, settle, earn, and again, until the backlog is done.

Rule of this folder: whatever ends, it goes on: the market away, a worker that fails, a wallet that is empty, this
process killed. So nothing is kept in memory that the market and the tables of work do not know.
"""
