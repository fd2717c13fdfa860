"""One file per resource: each function is a route, its signature is its part of the OpenAPI document.

Rule of this folder: a route turns what was sent into a request of `bridge.api.verbs` or a question to the market, and
returns a result of `bridge.api.results` or `bridge.api.reads` as it is.
"""
