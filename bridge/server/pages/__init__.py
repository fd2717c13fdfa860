"""The pages for people: the document to try, and what an operator of a fleet looks at.

Rule of this folder: files and headers; what a page shows it asks of the API, with a key of its reader.
"""
