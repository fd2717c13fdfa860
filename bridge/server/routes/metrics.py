"""The metrics of this process, for Prometheus.

Rule of this file: that of its folder. They are those of the process, not of the market: each process has its own.
"""

from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec

from callmarket.bridge.server.routes.common import GivenCaller, GivenService, problems

PATH = "/metrics"
TEXT = ResponseSpec(str, media_type="text/plain", generate_examples=False, description="The exposition format 0.0.4.")


@get(PATH, operation_id="metrics", summary="Metrics", media_type="text/plain", responses={**problems(), 200: TEXT})
async def metrics(caller: GivenCaller, service: GivenService) -> Response[bytes]:
    """Counters, histograms and gauges of this process, as Prometheus reads them, for any key with `read`.

    Who asks more often waits: making them takes a twentieth of the process at most, whoever asks.
    """
    text, content_type = await service.metrics(caller)
    return Response(text, media_type=content_type)


HANDLERS = (metrics,)
