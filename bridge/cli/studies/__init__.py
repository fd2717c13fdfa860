"""The commands that run studies.

Rule of this folder: that of its parent. A study's imports are made when it is run.
"""
