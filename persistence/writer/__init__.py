"""The write-behind persister: sealed rows wait here, are written in batches, and their waiters are notified.

Rule of this folder: nothing is called durable before the journal has said so. What to do next is decided in `outbox`,
which has no thread and no clock.
"""
