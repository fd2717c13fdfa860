"""What is asked over HTTP and is no operation of the market: keys, cycles, batches, the stream, metrics, health.

Rule of this folder: each function is a route; its signature, behind the service and the caller, is what is
sent. A route translates and asks the service; an operation of the market needs none.
"""
