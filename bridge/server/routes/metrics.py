"""The metrics of this process, for Prometheus.

Rule of this file: that of its folder. They are those of the process, not of the market: each process has its own.
"""

from callmarket.bridge.server.endpoint import Answer
from callmarket.bridge.server.requests.caller import Caller
from callmarket.bridge.server.routes.route import route
from callmarket.bridge.server.service import Service


@route("GET", "/metrics", "Metrics", "Metrics", media_type="text/plain")
async def metrics(service: Service, caller: Caller) -> Answer:
    """Counters, histograms and gauges of this process, as Prometheus reads them, for any key with `read`.

    Who asks more often waits: making them takes a twentieth of the process at most, whoever asks.
    """
    text, content_type = await service.metrics(caller)
    return Answer(text, media_type=f"{content_type}; charset=utf-8")


ENDPOINTS = (metrics,)
