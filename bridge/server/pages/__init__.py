"""The web pages: the API document to try out, and the live view for operators of a fleet.

Rule of this folder: files and headers. A page gets its data from the API, with its reader's key.
"""
