"""The market as tools for language models, over the Model Context Protocol (MCP) with its official SDK.

Rule of this folder: it is a client of a served market and has no permissions of its own; the API key decides what a
call may do. The SDK is the package `mcp`; this folder has another name so that the two are not confused.
"""
