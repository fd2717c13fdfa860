"""Every bound of the feed. Rule of this file: each number stands beside its reason."""

from typing import Final

# The latest rows are kept in memory for streams that resume: some seconds of full load. They are the objects that the
# journal has written, about 2 kB each, so 40 MB; in journal bytes for rows that carry much (a call of 10,000 slots is 5
# MB).
RECENT_ROWS_MAX: Final = 20_000
RECENT_BYTES_MAX: Final = 32 * 2**20

# Rows that are handed to a loop's subscribers in one go: a millisecond or two, then others have their turn.
SLICE_ROWS: Final = 256

# What may wait for one subscriber: a second of full load. Messages are shared, so it holds references to them.
QUEUE_MESSAGES_MAX: Final = 20_000
QUEUE_BYTES_MAX: Final = 8 * 2**20
# The size of one piece of a stream, about: a few packets of the network.
CHUNK_BYTES: Final = 64 * 2**10

# Subscribers and waiting agents of one loop: each is a connection with its socket and buffers, some 100 kB.
SUBSCRIBERS_MAX: Final = 5_000
AWARD_WAITERS_MAX: Final = 10_000
# A stream that resumes from the journal reads it on a connection of its own; others wait for their turn.
READERS_MAX: Final = 2
# A filter of more is better made by the reader.
FILTER_MARKETS_MAX: Final = 100

# How often a subscriber is told the watermark while it moves.
WATERMARK_EVERY_S: Final = 1.0
# Proxies and clients take a connection for dead that says nothing for long: a minute, as a rule.
HEARTBEAT_S: Final = 15.0
# After which a client that was cut off comes again.
RETRY_MS: Final = 1_000
