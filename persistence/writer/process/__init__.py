"""The journal's writer in a process of its own.

Threads of one interpreter take turns: beside a busy event loop each answer of the database waits up to 5 ms for the
interpreter, and a batch has several. In a process of its own the writer never waits for the market's work, and what it
computes is taken off it (`benchmarks/README.md` has the figures).

Rule of this folder: a way for rows to `postgres.PostgresJournal` and for its answers back; it decides nothing. Whatever
happens to the process is an outage to the writer: look where the journal ends, and go on from there.
"""
