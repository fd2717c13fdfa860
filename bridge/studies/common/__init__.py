"""What the studies share.

Rule of this folder: that of its parent.
"""
