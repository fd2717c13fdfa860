"""The market over HTTP: `gateway` finds out who the caller is, `endpoint` and `routes` what the request asks for.

Rule of this folder: it translates requests and bounds them. It decides nothing about the market, which is in
`bridge.market`, and imports neither the engine's state nor persistence.
"""
