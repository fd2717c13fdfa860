"""The commands of those who run artifact markets: `artifact open`, `freeze`, `unfreeze`, `settle`, `decay`.

Rule of this file: that of its folder. A settlement is final, so `settle --dry-run` names every payout before.
"""

from typing import Annotated, Final

import typer
from msgspec import structs

from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.units import duration_of
from callmarket.bridge.cli.artifacts import tables
from callmarket.bridge.cli.artifacts.served import Account, Artifact, CommandId, served, time_of
from callmarket.bridge.cli.keys import duration_us
from callmarket.bridge.cli.output import EXIT_WRONG, AsJson, RowsMax, show
from callmarket.engine.capital.commands import SettledAs

_PAGE_ROWS: Final = 1_000


def open_market(
    artifact: Artifact,
    subsidy: Annotated[
        int | None, typer.Option("--subsidy", min=1, help="Whole tokens from lmsr_subsidy_pool: all it can lose.")
    ] = None,
    b: Annotated[str, typer.Option("--b", help="Hanson's b in place of --subsidy, which is then b ln 2.")] = "",
    closes: Annotated[
        str, typer.Option("--closes", help="When it ends by itself: 30d, or an ISO time. Default: in 90 days.")
    ] = "",
    exit_fee: Annotated[
        float, typer.Option("--exit-fee", min=0, max=1, help="What of its proceeds a sale pays.")
    ] = 0.05,
    exposure_limit: Annotated[
        float, typer.Option("--exposure-limit", min=0, max=1, help="What of its wealth an account may commit here.")
    ] = 0.5,
    decay: Annotated[float, typer.Option("--decay", min=0, help="How fast `decay` lowers liquidity. 0: never.")] = 0.0,
    decay_floor: Annotated[
        float, typer.Option("--decay-floor", min=0, max=1, help="What of the subsidy no decay takes.")
    ] = 0.25,
    dispute_window: Annotated[
        str, typer.Option("--dispute-window", help="How long a settlement is only announced: 48h; at most 30d.")
    ] = "",
    arbiter: Annotated[
        str, typer.Option("--arbiter", help="An account that may settle and freeze it, and never trade in it.")
    ] = "",
    command_id: CommandId = "",
    as_json: AsJson = False,
) -> None:
    """Open a market for positions in an artifact. Its maker is funded from the account lmsr_subsidy_pool."""
    window = duration_of(duration_us("dispute_window", dispute_window) if dispute_window else 0)
    with served() as market:
        done = market.open_artifact_market(
            artifact,
            subsidy,
            b=b or None,
            closes_at=time_of("closes", closes),
            exit_fee=exit_fee,
            exposure_limit=exposure_limit,
            decay=decay,
            decay_floor=decay_floor,
            dispute_window=window,
            arbiter_id=arbiter or None,
            command_id=command_id,
        )
    show(done, as_json, lambda: tables.opened(done))


def freeze(
    artifact: Artifact,
    until: Annotated[str, typer.Option("--until", help="When it opens again by itself: 48h, 7d, or an ISO time.")],
    account: Account = "",
    command_id: CommandId = "",
    as_json: AsJson = False,
) -> None:
    """Stop the trade in an artifact for up to 30 days, and take back a settlement that is only announced."""
    at = time_of("until", until)
    if at is None:
        raise Invalid("until", until, "90m, 12h, 30d, or a time with its zone")
    with served(account) as market:
        done = market.freeze_artifact(artifact, at, command_id=command_id)
    show(done, as_json, lambda: tables.frozen(done))


def unfreeze(artifact: Artifact, account: Account = "", command_id: CommandId = "", as_json: AsJson = False) -> None:
    """Let a frozen market trade again before its time."""
    with served(account) as market:
        done = market.unfreeze_artifact(artifact, command_id=command_id)
    show(done, as_json, lambda: tables.unfrozen(artifact))


def settle(
    artifact: Artifact,
    settled_as: Annotated[
        SettledAs,
        typer.Argument(help="validated: long is worth 1; flagged: 0.25; deprecated: 0; void: costs back."),
    ],
    price: Annotated[str, typer.Option("--price", help="What a long share is worth, where it is not that.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what each position would be paid.")] = False,
    rows: RowsMax = 100,
    account: Account = "",
    command_id: CommandId = "",
    as_json: AsJson = False,
) -> None:
    """Say what an artifact was worth, and pay all positions by it. Final: see --dry-run first.

    With --dry-run, up to --rows payouts and the sum of all; exit code 1 if it would be refused.
    """
    with served(account) as market:
        if not dry_run:
            done = market.settle_artifact(artifact, settled_as, price or None, command_id=command_id)
            show(done, as_json, lambda: tables.settled(done))
            return
        found = market.preview_settlement(artifact, settled_as, price or None, limit=min(rows, _PAGE_ROWS))
        while found.next is not None and len(found.payouts) < rows:
            limit = min(rows - len(found.payouts), _PAGE_ROWS)
            page = market.preview_settlement(artifact, settled_as, price or None, limit=limit, after=found.next)
            # The sums are of the latest moment, and so is the row that they name.
            found = structs.replace(page, payouts=found.payouts + page.payouts)
    show(found, as_json, lambda: tables.preview(found))
    if found.refusal is not None:
        raise typer.Exit(EXIT_WRONG)


def decay(artifact: Artifact, command_id: CommandId = "", as_json: AsJson = False) -> None:
    """Lower the liquidity of a calm market at an unchanged price, where it was opened with --decay."""
    with served() as market:
        done = market.decay_subsidy(artifact, command_id=command_id)
    show(done, as_json, lambda: tables.decayed(done))
