"""Old rows of the journal in files: how they get there, and how they are read as if they were still in the table.

Rule of this folder: a row is deleted only after its file is on the disk, has been read back and is equal to it, and
after the snapshot from which the rest is recovered has been proved. A file never changes.
"""
