"""Which messages a subscriber wants, and which subscribers want a message.

Rule of this file: finding the subscribers of a message costs by their number, not by that of all.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, Generic, Protocol, TypeVar, get_args

from msgspec import Struct

from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.feed.encoded import EncodedMessage, subject_of_artifact
from callmarket.bridge.feed.limits import FILTER_MARKETS_MAX
from callmarket.bridge.feed.messages import Kind

KINDS: Final[frozenset[str]] = frozenset(get_args(Kind))


class Filter(Struct, frozen=True):
    """Which messages pass: an empty field lets all pass. Made by `filter_of`.

    A market lets its own messages through and those whose rows name no market, as nobody can tell of them; an artifact
    those of its market. A bidder lets through what names it, alone or among others.
    """

    market_ids: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    bidder_id: str = ""
    subjects: frozenset[str] = frozenset()
    """The markets and the artifacts, as `EncodedMessage.subject` names them."""

    def lets_through(self, encoded: EncodedMessage) -> bool:
        """Whether this message is wanted."""
        if self.kinds and encoded.kind not in self.kinds:
            return False
        if self.bidder_id and self.bidder_id not in encoded.bidder_ids:
            return False
        return not self.subjects or encoded.subject is None or encoded.subject in self.subjects

    @property
    def wants_watermark(self) -> bool:
        """Whether it is told how far the journal is."""
        return not self.kinds or "watermark" in self.kinds


ALL: Final = Filter()
"""No filter: the most usual one."""


def filter_of(
    market_ids: Iterable[str] = (),
    kinds: Iterable[str] = (),
    bidder_id: str = "",
    artifact_ids: Iterable[str] = (),
) -> Filter:
    """A filter, checked. Raises `Invalid`. Markets and artifacts together let the messages of both through."""
    markets, wanted, artifacts = frozenset(market_ids), frozenset(kinds), frozenset(artifact_ids)
    for field, names in (("market_ids", markets), ("artifact_ids", artifacts)):
        if len(names) > FILTER_MARKETS_MAX:
            raise Invalid(field, len(names), f"at most {FILTER_MARKETS_MAX} of them")
    if not wanted <= KINDS:
        raise Invalid("kinds", sorted(wanted - KINDS), f"some of {', '.join(sorted(KINDS))}")
    subjects = markets | frozenset(map(subject_of_artifact, artifacts))
    return Filter(markets, wanted, bidder_id, subjects) if subjects or wanted or bidder_id else ALL


class Filtered(Protocol):
    """An object with a filter."""

    @property
    def filter(self) -> Filter:
        """The filter of its owner, which never changes."""


S = TypeVar("S", bound=Filtered)
_NOBODY: Final[dict[Any, None]] = {}


class Index(Generic[S]):
    """Subscribers by what they want."""

    def __init__(self) -> None:
        # By bidder, else by subject, else under the empty name: each subscriber stands once for each of its subjects.
        self._by_bidder: dict[str, dict[S, None]] = {}
        self._by_subject: dict[str, dict[S, None]] = {}

    def add(self, subscriber: S) -> None:
        """Add a subscriber. O(subjects of its filter)."""
        for index, name in self._places(subscriber.filter):
            index.setdefault(name, {})[subscriber] = None

    def discard(self, subscriber: S) -> None:
        """Nothing if it is not there. O(its subjects)."""
        for index, name in self._places(subscriber.filter):
            there = index.get(name, {})
            there.pop(subscriber, None)
            if not there:
                index.pop(name, None)

    def who_wants(self, encoded: EncodedMessage) -> list[S]:
        """Each subscriber that wants a message, once. O(those by bidder or subject)."""
        by_bidder, by_subject = self._by_bidder, self._by_subject
        found: dict[S, None] = {}
        if by_bidder:
            for bidder_id in encoded.bidder_ids:
                found |= by_bidder.get(bidder_id, _NOBODY)
        if encoded.subject is None:
            for there in by_subject.values():
                found |= there
        elif by_subject:
            found |= by_subject.get("", _NOBODY)
            found |= by_subject.get(encoded.subject, _NOBODY)
        return [one for one in found if one.filter is ALL or one.filter.lets_through(encoded)]

    def _places(self, wanted: Filter) -> Iterator[tuple[dict[str, dict[S, None]], str]]:
        if wanted.bidder_id:
            yield self._by_bidder, wanted.bidder_id
            return
        for subject in wanted.subjects or ("",):
            yield self._by_subject, subject
