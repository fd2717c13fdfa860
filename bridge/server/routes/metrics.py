"""The route of the metrics, for Prometheus.

Rule of this file: that of its folder. Metrics are those of one process, not of the market.
"""

from callmarket.bridge.server.endpoint import Answer
from callmarket.bridge.server.requests.caller import Caller
from callmarket.bridge.server.routes.route import route
from callmarket.bridge.server.service import Service


@route("GET", "/metrics", "Metrics", "Metrics", media_type="text/plain")
async def metrics(service: Service, caller: Caller) -> Answer:
    """Counters, histograms and gauges of this process in the Prometheus format, for any key with the scope `read`.

    Frequent requests wait: producing the metrics takes up to a twentieth of the time of the process, for all clients.
    """
    text, content_type = await service.metrics(caller)
    return Answer(text, media_type=f"{content_type}; charset=utf-8")


ENDPOINTS = (metrics,)
