"""The commands that run studies.

Rule of this folder: that of its parent. What a study needs is imported when it is run.
"""
