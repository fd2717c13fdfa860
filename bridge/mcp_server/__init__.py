"""The market as tools for language models, by the Model Context Protocol and its official SDK.

Rule of this folder: it is a client of a served market and has no rights of its own; what a call may do is its API
key's. The SDK is `mcp`; this folder is called `tools` so that nobody takes one for the other.
"""
