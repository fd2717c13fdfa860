"""The SQL tables: what their rows are, how they follow the journal, and how they are made again from it.

Rule of this folder: tables are made from journal rows and from nothing else, in order, each row once.
"""
