"""The parts of HTTP that server and client share: header names, problem details, and their explanations.

Rule of this folder: data only.
"""
