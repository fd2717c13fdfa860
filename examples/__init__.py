"""Programs to copy from: what stands around a market in a platform.

Rule of this folder: each is a program of its own, run against a real service, and uses what a user may use: `bridge`.
"""
