"""Who leads a shard: the register that says so, the leader's heartbeat, and the standby that takes its place.

Rule of this folder: it decides when somebody should *try* to write, never who may. That is the epoch's (`lease`): a
leader that is wrongly taken for dead loses its place, and no token.
"""
