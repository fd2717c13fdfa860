"""Images of the state at one place of the journal, so that recovery need not begin at the first row.

Rule of this folder: a snapshot is a cache. Nothing is believed because it lies there, everything can be made again from
the journal with its archive, and deleting all of them loses time only. One is kept that begins where the journal does:
without it a journal whose older rows were archived could not be recovered without them.
"""
