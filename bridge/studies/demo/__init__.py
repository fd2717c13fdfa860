"""`callmarket demo`: the auction and the policies it replaces, on the same real arrivals, with a crash in the middle.

Rule of this folder: the world (`workload`, `simulation`, `policies`) is pure and the same for every policy; the auction
alone runs on the real thing, a child process with its own engine and PostgreSQL, and is audited from outside. Begin at
`run`; this file imports nothing, because the child is of this package too and should start at once.
"""
