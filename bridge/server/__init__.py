"""The market over HTTP: who asks is found in `gateway`, what is asked in `routes`; the market is `bridge.market`'s.

Rule of this folder: it translates and bounds. It decides nothing about the market, and imports neither the engine's
state nor persistence.
"""
