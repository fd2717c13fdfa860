"""Routes that are not operations of the market: keys, cycles, batches, the stream, metrics, health.

Rule of this folder: each function is a route. Its parameters after the service and the caller are the arguments of the
request. A route translates and calls the service; an operation of the market needs no route.
"""
