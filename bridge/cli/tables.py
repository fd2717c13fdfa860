"""Results as tables and lines for the terminal.

Rule of this file: rows in, rich renderables out; it reads no data and decides nothing.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from callmarket.bridge.access.issue import KeyView
from callmarket.bridge.api.operations.accounts import Wallet
from callmarket.bridge.api.units import datetime_of
from callmarket.bridge.cli.leadership import Handover, Status
from callmarket.bridge.cli.snapshots import Rehearsal, SnapshotRow
from callmarket.bridge.fleet.earning.rates import FACTORS, Rates
from callmarket.engine.state import State
from callmarket.persistence.archive.prune import Plan, Pruned
from callmarket.persistence.journal.protocol import Archive, rows_after
from callmarket.persistence.queries import BookAsk, BookBid, Earned, MovementRow, OutcomeRow, RoundRow, WalletRow
from callmarket.persistence.snapshot_follower import Taken
from callmarket.persistence.tables.rebuild import Rebuilt
from callmarket.persistence.verify import VerifyReport

Renderable = RenderableType


def then(state: State, shown: Renderable) -> Renderable:
    """A view of the past, headed by its row and time."""
    return Group(Text(f"as of row {state.seq:,}, {datetime_of(state.at_us):%Y-%m-%d %H:%M:%S} UTC"), Text(), shown)


def book(market_id: str, bids: Sequence[BookBid], asks: Sequence[BookAsk]) -> Renderable:
    """The order book of a market: its best bids and its slots on offer."""
    demand = table(f"{market_id}: best bids", "#bid", "bidder", "task", "#max price", "in force", "until")
    for bid in bids:
        demand.add_row(
            str(bid.bid_id),
            bid.bidder_id,
            bid.task_id,
            _tokens(bid.max_price_tokens),
            bid.time_in_force,
            _time(bid.ttl_at),
        )
    supply = table(f"{market_id}: slots on offer", "slot", "provider", "#reserve", "available")
    for ask in asks:
        supply.add_row(
            ask.slot_id,
            ask.provider_id,
            _tokens(ask.reserve_price_tokens),
            "at once" if ask.available_at.timestamp() == 0 else _time(ask.available_at),
        )
    return Group(demand, Text(), supply)


def wallets(rows: Sequence[WalletRow | Wallet]) -> Renderable:
    """A table of accounts and their balances."""
    shown = table("wallets", "account", "kind", "#balance", "#held", "#available")
    for row in rows:
        shown.add_row(
            row.account_id,
            row.kind,
            _tokens(row.balance_tokens),
            _tokens(row.held_tokens),
            _tokens(row.available_tokens),
        )
    return shown


def wallet(row: WalletRow | Wallet, movements: Sequence[MovementRow]) -> Renderable:
    """One account and its statement."""
    shown = table("latest movements", "when", "reason", "other side", "#tokens", "#balance", "reference")
    for one in movements:
        paid = one.from_account_id == row.account_id
        shown.add_row(
            _time(one.at),
            one.reason,
            one.to_account_id if paid else one.from_account_id,
            _tokens(-one.amount_tokens if paid else one.amount_tokens),
            _tokens(one.from_balance_tokens if paid else one.to_balance_tokens),
            f"{one.reference_type} {one.reference_id}".strip(),
        )
    return Group(wallets([row]), Text(), shown)


def earned(found: Earned, credited: Sequence[MovementRow]) -> Renderable:
    """Credits of an account, summed by reason and period, and the latest of them."""
    sums = table("earned", "reason", "#24 hours", "#7 days", "#30 days", "#times")
    for one in found.by_reason:
        periods = (one.day_tokens, one.week_tokens, one.month_tokens)
        sums.add_row(one.reason, *map(_tokens, periods), _tokens(one.month_credits))
    periods = (found.day_tokens, found.week_tokens, found.month_tokens)
    sums.add_row("all", *map(_tokens, periods), "", style="bold")
    latest = table("latest", "when", "reason", "from", "#tokens", "reference")
    for row in credited:
        reference = f"{row.reference_type} {row.reference_id}".strip()
        latest.add_row(_time(row.at), row.reason, row.from_account_id, _tokens(row.amount_tokens), reference)
    return Group(sums, Text(f"{_tokens(found.total_earned_tokens)} tokens ever", style="dim"), Text(), latest)


def rates(found: Rates) -> Renderable:
    """The rates of each kind of work."""
    shown = table("what work pays", "action", "#base", *(f"#x {name}" for name in FACTORS), "#at most")
    for action, rate in found.actions.items():
        multipliers = (getattr(rate.factors, name) for name in FACTORS)
        cells = ("-" if one is None else f"{one[0]:g} to {one[1]:g}" for one in multipliers)
        shown.add_row(action, _tokens(rate.base_tokens), *cells, _tokens(rate.cap_tokens))
    bound = f"{_tokens(found.daily_cap_tokens)} tokens" if found.daily_cap_tokens else "any amount"
    return Group(shown, Text(f"One account may earn {bound} in 24 hours.", style="dim"))


def rounds(rows: Sequence[RoundRow]) -> Renderable:
    """A table of rounds."""
    shown = table("rounds, newest first", "market", "#round", "called", "#slots", "#bids", "#awards", "#price")
    for row in rows:
        price = "-" if row.clearing_price_tokens is None else _tokens(row.clearing_price_tokens)
        shown.add_row(
            row.market_id,
            str(row.round_no),
            _time(row.called_at),
            str(row.slots_available),
            str(row.bids_open),
            str(row.awards_granted),
            price,
        )
    return shown


def outcome(row: OutcomeRow) -> Renderable:
    """The status of one bid, and the reason."""
    return Text.assemble(
        (f"bid {row.bid_id}", "bold"),
        f" of {row.bidder_id} for {row.task_id}, at most {_tokens(row.max_price_tokens)}: ",
        (row.status, "bold"),
        f"\n{row.reason}",
    )


def verification(report: VerifyReport) -> Renderable:
    """The report of `verify`."""
    return Text(str(report))


def taken(row: Taken | None) -> Renderable:
    """A snapshot that was taken; None if the journal is empty."""
    return Text("the journal is empty: there is nothing to keep" if row is None else str(row))


def snapshots(rows: Sequence[SnapshotRow], now: datetime) -> Renderable:
    """A table of snapshots; `now` is what their ages are counted from."""
    shown = table("snapshots, newest first", "name", "#row", "#rows behind", "#age", "#bytes", "#stored", "good")
    for row in rows:
        shown.add_row(
            row.name,
            f"{row.seq:,}",
            f"{row.rows_behind:,}",
            # The store's clock may be ahead of ours.
            str(timedelta(seconds=max(0, round((now - row.taken_at).total_seconds())))),
            f"{row.image_bytes:,}",
            f"{row.stored_bytes:,}",
            "yes" if row.good else f"no: {row.fault}",
        )
    return shown


def rehearsal(row: Rehearsal) -> Renderable:
    """The report of a rehearsed recovery."""
    return Text(f"shard {row.shard_id} recovers to row {row.seq:,}, read-only: {row.report}")


def rebuilt(row: Rebuilt) -> Renderable:
    """The report of a rebuild of the tables."""
    return Text(str(row))


def planned(row: Plan, folder: Path) -> Renderable:
    """Which rows pruning is about to move, and which snapshot proves them."""
    if row.snapshot is None or not row.rows:
        return Text(f"shard {row.shard_id}: nothing to move, the journal begins at row {row.first_seq:,}")
    lines = [
        f"shard {row.shard_id}: rows {row.first_seq:,} to {row.last_seq:,} ({row.rows:,} of {row.end_seq:,}) "
        f"go to {folder}, files: {row.files:,}; {rows_after(row.last_seq, row.end_seq):,} rows stay",
        f"proved: rows before it lead to snapshot {row.snapshot.name} of row {row.snapshot.seq:,}, and it leads "
        f"to row {row.end_seq:,}",
        *map(str, row.passed_over),
    ]
    return Text("\n  ".join(lines))


def archived(row: Archive) -> Renderable:
    """One file that was written; its rows are no longer in the database."""
    return Text(f"moved rows {row.first_seq:,} to {row.last_seq:,}: {row.file_name}, {row.file_bytes:,} bytes")


def pruned(row: Pruned, folder: Path) -> Renderable:
    """How many rows were moved in all."""
    if not row.archives:
        return Text("nothing was moved")
    return Text(
        f"{sum(one.last_seq - one.first_seq + 1 for one in row.archives):,} rows moved, {row.file_bytes:,} bytes in "
        f"{folder}, each file read back and compared. Keep copies of it: `callmarket verify --archive {folder}` "
        "checks them"
    )


def status(row: Status) -> Renderable:
    """A shard, its leader and its standbys, and the last proved recovery."""
    if row.leader is None:
        led = "no leader yet"
    else:
        leader = row.leader
        led = f"led by {leader.address} ({leader.sign}, lease renewed {leader.renewed_s_ago:.1f} s ago)"
        if leader.handover_requested:
            led += ", asked to hand over"
    lines = [Text.assemble((f"shard {row.shard_id}", "bold"), f" at row {row.last_seq:,}, epoch {row.epoch}: {led}")]
    if rows_behind := rows_after(row.projected_seq, row.last_seq):
        lines.append(Text(f"  the SQL tables stand at row {row.projected_seq:,}, {rows_behind:,} rows behind"))
    if row.leader is not None and row.leader.clock_fault:
        lines.append(Text(f"  it takes no commands: {row.leader.clock_fault}"))
    for one in row.standbys:
        lines.append(Text(f"  standby {one.address}: {one.rows_behind:,} rows behind, seen {one.seen_s_ago:.1f} s ago"))
        lines += [Text(f"    it would not lead: {fault}") for fault in (one.clock_fault, one.loss) if fault]
    if not row.standbys:
        lines.append(Text("  no standby"))
    proof = row.last_proven_restore
    if proof is None:
        lines.append(Text("  recovery was never proved here: callmarket snapshot"))
    else:
        age = timedelta(seconds=round(proof.age_s))
        lines.append(
            Text(
                f"  recovery proved {age} ago, to row {proof.seq:,} ({proof.rows_behind:,} rows behind), in "
                f"{proof.seconds:.2f} s, by {proof.proven_by}"
            )
        )
    return Group(*lines)


def handover(row: Handover) -> Renderable:
    """The leaders before and after a handover, and how long it took."""
    return Text(f"shard {row.shard_id}: from {row.before} to {row.after}, epoch {row.epoch}, {row.seconds:.2f} s")


def new_key(row: KeyView) -> Renderable:
    """What a new key may do. The key itself is not in the table, which would wrap it."""
    return Group(Text("Keep it now: it is shown this once and stored nowhere."), keys([row]))


def keys(rows: Sequence[KeyView]) -> Renderable:
    """Keys, without their secrets. A terminal has room for dates only; times and rates are in the JSON."""
    shown = table("keys, newest first", "!key", "name", "may", "!made", "!expires", "works")
    for row in rows:
        may = [scope for scope in row.scopes if scope not in ("bid", "offer")]
        may += [f"bid: {account}" for account in row.accounts] + [f"offer: {account}" for account in row.providers]
        ended = "no: expired" if row.revoked_at is None else "no: revoked"
        works = "yes" if row.works else ended
        expires = "never" if row.expires_at is None else f"{row.expires_at:%Y-%m-%d}"
        shown.add_row(row.key_id, row.name, ", ".join(may), f"{row.created_at:%Y-%m-%d}", expires, works)
    return shown


def migrated(names: Sequence[str]) -> Renderable:
    """The migrations that were applied."""
    return Text(f"applied {', '.join(names)}" if names else "the tables are up to date")


def table(title: str, *columns: str) -> Table:
    """A table. A column whose name begins with # has numbers; one with ! has cells that are never broken.

    Other cells that are too wide continue on the next line, for a truncated name would be another name.
    """
    shown = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=box.SIMPLE_HEAD,
        # The title contains a name too, so it must not be cut.
        min_width=len(title) + 2,
    )
    for name in columns:
        numbers, whole = name.startswith("#"), name.startswith("!")
        shown.add_column(name.lstrip("#!"), justify="right" if numbers else "left", overflow="fold", no_wrap=whole)
    return shown


def _tokens(tokens: int) -> str:
    return f"{tokens:,}"


def _time(at: datetime | None) -> str:
    return "-" if at is None else at.strftime("%Y-%m-%d %H:%M:%S")
