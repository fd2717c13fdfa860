"""Everything that Prometheus is told of this process, made when it asks.

Rule of this file: from counts and states to families of series; each has a help text, and labels from a bounded set:
kinds, reasons, routes and statuses are the program's own, and a shard has at most a thousand markets.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

from msgspec import Struct
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from callmarket.bridge.access.keyring import Keyring
from callmarket.bridge.api.errors import ExchangeError
from callmarket.bridge.fleet.earning.collector import Collector as DemurrageCollector
from callmarket.bridge.market.histogram import Histogram
from callmarket.bridge.market.node import Node
from callmarket.bridge.scheduler.clearing import ClearingScheduler, CycleStatus
from callmarket.bridge.telemetry.proofs import Proofs
from callmarket.bridge.telemetry.requests import Requests
from callmarket.bridge.timekeeping.keeper import Timekeeper
from callmarket.engine import limits
from callmarket.engine.commands import ADMIN, OPERATOR
from callmarket.engine.state import State

T = TypeVar("T", bound=Metric)

# The framework adds the character set.
CONTENT_TYPE: Final = "text/plain; version=0.0.4"
PREFIX: Final = "callmarket_"
# After a text none is begun for this many times as long as it took.
REST: Final = 19.0
ROLES: Final = ("leader", "standby", "ended")


class MarketFigures(Struct):
    """One market at a moment."""

    bids_open: int
    slots_offered: int
    awards_live: int


class Watched(Struct, frozen=True):
    """The objects whose figures are shown."""

    node: Node
    keyring: Keyring
    calls: ClearingScheduler
    demurrage: DemurrageCollector
    requests: Requests
    proofs: Proofs
    connections: Callable[[], int]
    turned_away: Callable[[], int]


class Metrics:
    """The metrics of one process, in a registry of its own. For the loop in which the process serves."""

    def __init__(self, watched: Watched) -> None:
        """Look at these, whenever somebody asks."""
        registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        registry.register(_Families(watched))
        self._registry: Final = registry
        self._making: asyncio.Task[bytes] | None = None
        self._rests_until_s = 0.0

    async def text(self) -> bytes:
        """All of it, as Prometheus reads it: one text for all requests while it is waited for and made.

        O(markets), one family at a time with others in between. A request soon after the last text waits: making them
        takes a twentieth of the loop's time at most, however many ask, so of a thousand markets there is one a second.
        """
        if self._making is None or self._making.done():
            self._making = asyncio.create_task(self._make())
        # A request that gives up leaves it to the others.
        return await asyncio.shield(self._making)

    async def _make(self) -> bytes:
        await asyncio.sleep(max(0.0, self._rests_until_s - time.monotonic()))
        parts, spent_s, began_s = [], 0.0, time.perf_counter()
        for family in self._registry.collect():
            parts.append(generate_latest(_One(family)))
            spent_s += time.perf_counter() - began_s
            await asyncio.sleep(0)
            began_s = time.perf_counter()
        self._rests_until_s = time.monotonic() + REST * spent_s
        return b"".join(parts)


class _One(Collector):
    """A family alone, as a registry of which a text can be made."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterator[Metric]:
        """The one family."""
        yield self._family


class _Families(Collector):
    """The market's own metrics."""

    def __init__(self, watched: Watched) -> None:
        self._of: Final = watched

    def collect(self) -> Iterator[Metric]:
        """Every family, each with all of its series."""
        yield from self._commands()
        yield from self._journal()
        yield from self._time()
        yield from self._rounds()
        yield from self._books()
        yield from self._http()
        yield from self._cycles()
        yield from self._demurrage()
        yield from self._around()

    def _commands(self) -> Iterator[Metric]:
        counters = self._of.node.counters
        yield _counter(
            "commands",
            "Commands that were applied, by kind and by how they ended: done, repeated, or the reason of the refusal.",
            ("kind", "outcome"),
            (((str(kind.__struct_config__.tag), how), count) for (kind, how), count in list(counters.commands.items())),
        )
        yield _counter(
            "commands_not_taken", "Requests that were not applied: nothing happened.", (), [((), counters.not_taken)]
        )
        yield _counter(
            "commands_unknown",
            "Commands of which it could not be said in time whether they are durable.",
            (),
            [((), counters.unknown_outcomes)],
        )
        yield _histogram("apply_seconds", "A command's share of the engine's time.", (), [((), counters.apply)])
        yield _histogram("ack_seconds", "From a request to its row on disk.", (), [((), counters.ack)])

    def _journal(self) -> Iterator[Metric]:
        status = self._of.node.status()
        yield _gauge("role", "1 for what this process is.", ("role",), (((one,), one == status.role) for one in ROLES))
        yield _plain("epoch", "The writer's epoch; 0 while it does not lead.", status.epoch)
        yield _plain("ready", "Whether it takes commands and can make them durable.", self._of.node.readiness().ready)
        yield _plain("applied_seq", "The last row of the engine.", status.applied_seq)
        yield _plain("durable_seq", "The last row on disk.", status.durable_seq)
        yield _plain("queue_rows", "Rows that wait for the database.", status.queue_rows)
        yield _plain("queue_bytes", "Their bytes.", status.queue_bytes)
        yield _plain("durable_lag_rows", "Rows applied and not durable.", status.applied_seq - status.durable_seq)
        yield _plain("durable_lag_seconds", "For how long the first of them has waited.", status.oldest_s)
        yield _plain("outage_seconds", "For how long the database has been away.", status.outage_s)
        yield _plain("projected_seq", "The last row that the SQL tables have.", status.projected_seq)
        yield _plain("tables_lag_rows", "Rows on disk that the SQL tables do not have yet.", status.tables_lag_rows)
        yield _plain("tables_lag_seconds", "For how long the first of them has waited.", status.tables_lag_s)
        yield _plain("tables_stopped", "1 where they stand still until somebody mends them.", status.tables_stopped)

    def _time(self) -> Iterator[Metric]:
        source = self._of.node.time
        yield _plain("clock_right", "Whether the time is believed: 0 means that nothing is taken.", not source.fault)
        if isinstance(source, Timekeeper):
            yield _counter("clock_leaps", "Leaps of the machine's clock.", (), [((), source.leaps)])
            yield _plain("clock_ahead_seconds", "The machine's clock, of the time believed.", source.ahead_us / 1e6)
            if (database_us := source.database_ahead_us) is not None:
                text = "The database's clock, of the time believed; 0 where the question took longer than that."
                yield _plain("clock_database_ahead_seconds", text, database_us / 1e6)
            yield _plain("market_time_lead_seconds", "The market's time, of the clocks.", source.lead_us / 1e6)

    def _rounds(self) -> Iterator[Metric]:
        counters = self._of.node.counters
        rounds = list(counters.rounds.items())
        label = ("market",)
        yield _counter("rounds", "Calls.", label, (((name,), one.rounds) for name, one in rounds))
        yield _counter(
            "round_slots",
            "Slots that calls could sell.",
            label,
            (((name,), one.slots_available) for name, one in rounds),
        )
        yield _counter(
            "round_bids", "Bids that were open at calls.", label, (((name,), one.bids_open) for name, one in rounds)
        )
        yield _counter("awards", "Slots sold.", label, (((name,), one.awards_granted) for name, one in rounds))
        yield _gauge(
            "fill_rate",
            "Slots sold per slot that could be, over all calls since this process began.",
            label,
            (((name,), one.awards_granted / one.slots_available) for name, one in rounds if one.slots_available),
        )
        yield _gauge(
            "clearing_price_tokens",
            "The clearing price of the last call that had one; winners with rivals may pay more.",
            label,
            (((name,), one.clearing_price_tokens) for name, one in rounds if one.clearing_price_tokens is not None),
        )
        ends = (("lost",), counters.bids_lost), (("expired",), counters.bids_expired)
        yield _counter("bids_swept", "Bids whose holds sweeps released.", ("why",), ends)
        yield _counter("awards_lapsed", "Awards that nobody settled in time.", (), [((), counters.awards_lapsed)])
        yield _counter("holds_expired", "Named holds that sweeps gave back.", (), [((), counters.holds_expired)])

    def _books(self) -> Iterator[Metric]:
        """What the live state says; nothing where this process does not lead."""
        try:
            supply, markets, memory = self._of.node.read(_figures)
        except ExchangeError:
            return
        label = ("market",)
        yield _plain("tokens_in_circulation", "All tokens that accounts have.", supply)
        yield _plain("markets", "Markets that are open.", len(markets))
        yield _gauge(
            "bids_open", "Bids that the next call looks at.", label, ((key, one.bids_open) for key, one in markets)
        )
        yield _gauge("slots_offered", "Slots on sale.", label, ((key, one.slots_offered) for key, one in markets))
        yield _gauge("awards_live", "Slots in use.", label, ((key, one.awards_live) for key, one in markets))
        # Full means refuse, so each stands beside its bound.
        label = ("what",)
        yield _gauge("remembered", "What is kept so that nothing is done twice.", label, memory)
        yield _gauge("remembered_max", "The bound of each; full means refuse.", label, REMEMBERED_MAX)

    def _http(self) -> Iterator[Metric]:
        requests = self._of.requests
        yield _counter(
            "http_requests",
            "Requests by route and status; status 0: nobody was there to answer.",
            ("method", "route", "status"),
            (((method, route, str(status)), count) for (method, route, status), count in requests.counts.items()),
        )
        yield _histogram("http_request_seconds", "From head to answer.", ("method", "route"), requests.seconds.items())
        yield _counter(
            "http_turned_away",
            "Requests that were answered unread, because more had come than could be served soon.",
            (),
            [((), self._of.turned_away())],
        )
        yield _plain("http_connections", "Connections that are open.", self._of.connections())

    def _cycles(self) -> Iterator[Metric]:
        statuses = self._of.calls.statuses()

        def by_market(figure: Callable[[CycleStatus], float]) -> Iterator[tuple[tuple[str, ...], float]]:
            return (((one.market_id,), figure(one)) for one in statuses)

        label = ("market",)
        yield _counter("cycle_calls", "Calls that the cycle made.", label, by_market(lambda one: one.calls))
        yield _counter("cycle_skipped", "Cycles that had nothing to call.", label, by_market(lambda one: one.skipped))
        yield _counter("cycle_missed", "Cycles that passed without a call.", label, by_market(lambda one: one.missed))
        yield _counter("cycle_failures", "Calls that failed.", label, by_market(lambda one: one.failures))
        yield _gauge("cycle_late_seconds_max", "The latest call.", label, by_market(lambda one: one.late_s_max))
        yield _counter("sweeps", "Sweeps that the cycle made.", (), [((), self._of.calls.sweeps)])

    def _demurrage(self) -> Iterator[Metric]:
        charged = self._of.demurrage
        yield _counter("demurrage_charges", "Accounts that paid for idle tokens.", (), [((), charged.charges)])
        yield _counter("demurrage_tokens", "Tokens that they paid.", (), [((), charged.tokens)])
        yield _counter(
            "demurrage_refused",
            "Charges that an account did not have available: it owes them.",
            (),
            [((), charged.refused)],
        )
        yield _counter(
            "demurrage_failures", "Pages of charges that failed and are retried.", (), [((), charged.failures)]
        )

    def _around(self) -> Iterator[Metric]:
        watched = self._of
        yield _plain("keys", "API keys that work.", len(watched.keyring))
        yield _plain("keys_behind_seconds", "How old what is known of keys may be.", watched.keyring.seconds_behind)
        age_s = watched.proofs.age_s()
        if age_s is not None:
            yield _plain("proven_restore_age_seconds", "Since a stored state was last restored and compared.", age_s)
            yield _plain("proven_restore_seq", "The row up to which that was.", watched.proofs.seq or 0)
        try:
            feed = watched.node.feed
        except ExchangeError:
            return
        yield _plain("streams", "Live streams that are open.", feed.subscribers)
        yield _plain("award_waits", "Requests that wait for an award.", feed.watchers)


Labels = tuple[str, ...]

REMEMBERED_MAX: Final[list[tuple[Labels, int]]] = [
    (("earnings",), limits.EARNINGS_MAX),
    (("retries of accounts",), limits.RETRIES_OF_ACCOUNTS_MAX),
    (("retries of the operator",), limits.RETRIES_PER_STAFF_MAX),
    (("retries of the admin",), limits.RETRIES_PER_STAFF_MAX),
]


def _figures(state: State) -> tuple[int, list[tuple[Labels, MarketFigures]], list[tuple[Labels, int]]]:
    """All tokens, each market, and the remembered counts in the order of `REMEMBERED_MAX`. O(markets)."""
    markets: list[tuple[Labels, MarketFigures]] = [
        ((name,), MarketFigures(market.bids_open, len(market.offers), len(market.tasks_awarded)))
        for name, market in state.markets.items()
    ]
    counts = len(state.ledger.earnings), *(state.retries.of(whose, state.at_us) for whose in ("", OPERATOR, ADMIN))
    memory = [(label, count) for (label, _), count in zip(REMEMBERED_MAX, counts, strict=True)]
    return state.ledger.supply_tokens, markets, memory


def _filled(family: T, series: Iterable[tuple[Labels, float]]) -> T:
    for labels, value in series:
        family.add_metric(labels, value)  # type: ignore[attr-defined]  # each family has it, their base does not
    return family


def _counter(name: str, help_text: str, labels: Labels, series: Iterable[tuple[Labels, float]]) -> Metric:
    return _filled(CounterMetricFamily(PREFIX + name, help_text, labels=labels), series)


def _gauge(name: str, help_text: str, labels: Labels, series: Iterable[tuple[Labels, float]]) -> Metric:
    return _filled(GaugeMetricFamily(PREFIX + name, help_text, labels=labels), series)


def _plain(name: str, help_text: str, value: float) -> Metric:
    return _gauge(name, help_text, (), [((), value)])


def _histogram(name: str, help_text: str, labels: Labels, series: Iterable[tuple[Labels, Histogram]]) -> Metric:
    family = HistogramMetricFamily(PREFIX + name, help_text, labels=labels)
    for key, histogram in series:
        family.add_metric(key, histogram.buckets(), histogram.total_s)
    return family
