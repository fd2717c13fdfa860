"""What both ends of HTTP share: the names of headers, the shape of a problem, and what each means.

Rule of this folder: names, shapes and words.
"""
