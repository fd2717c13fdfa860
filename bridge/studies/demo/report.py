"""The report: one HTML file that needs no network, made of `DemoResult` and the figures.

Rule of this file: every number comes from the result, every word of a result is escaped, and values drawn rather than
real is said on the page itself.
"""

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from callmarket.bridge.studies.demo import figures
from callmarket.bridge.studies.demo.audit import Proof
from callmarket.bridge.studies.demo.compare import LONG_NAMES, MEASURES_SELECTIVE, best, shown
from callmarket.bridge.studies.demo.metrics import MEASURES, Measure, Metrics
from callmarket.bridge.studies.demo.other_seeds import OtherSeeds
from callmarket.bridge.studies.demo.result import AUCTION, DemoResult, FigureInputs
from callmarket.bridge.studies.demo.scenario.bidders import QUEST_SHADE, REWARD_TOKENS_PER_IMPACT
from callmarket.bridge.studies.demo.scenario.workload import LEASE_US, PROVENANCE, TASK_TTL_US


def write_report(path: Path, result: DemoResult, played: FigureInputs) -> None:
    """Write the report. Replaces the file if it exists."""
    path.write_text(render(result, played), encoding="utf-8")


def data_text(package: str, name: str) -> str:
    """A text file from the folder `data` of a package."""
    return files(package).joinpath("data", name).read_text(encoding="utf-8")


def render(result: DemoResult, played: FigureInputs) -> str:
    """The page as text."""
    template = Template(data_text("callmarket.bridge.studies.demo", "report.html"))
    scene = result.scene
    return template.substitute(
        style=data_text("callmarket.bridge.studies.demo", "report.css"),
        headline=_headline(result),
        tasks=f"{scene.tasks:,}",
        minutes=scene.minutes,
        slots=scene.slots,
        load=f"{scene.load:.2f}",
        seed=scene.seed,
        quests=scene.quests,
        agents=scene.agents,
        cycle=f"{scene.cycle_s:g}",
        first=escape(scene.arrivals_first.replace("T", " ")),
        last=escape(scene.arrivals_last.replace("T", " ")),
        tiles=_tiles(result),
        table=_table(result.policies, MEASURES, result.other_seeds if result.other_seeds.seeds else None),
        selective=_table([result.auction, *result.selective], MEASURES_SELECTIVE),
        selective_note=_selective_note(result),
        caveat=_caveat(result),
        better=_list([one.sentence for one in result.verdicts if one.outcome == "better"]),
        worse=_list([one.sentence for one in result.verdicts if one.outcome != "better"]),
        price=figures.price_over_time(played),
        wallets=figures.wallets_over_time(played),
        bidders=figures.bidders_over_time(played),
        waits=figures.waits(played),
        value=figures.value_against_cost(played),
        price_note=_price_note(result),
        wallet_note=_wallet_note(result),
        kill_note=_kill_note(result),
        proofs=proof_rows(result.proofs),
        real=_list(PROVENANCE["real"]),
        scaled=_list(PROVENANCE["scaled"]),
        drawn=_list(PROVENANCE["drawn"]),
        rules=_list(_rules()),
        seconds=", ".join(f"{escape(name)} {seconds:.2f} s" for name, seconds in result.seconds.items()),
    )


def _headline(result: DemoResult) -> str:
    auction = result.auction
    others = [row for row in result.policies if row.policy != AUCTION]
    rival = max(others, key=lambda row: row.value_per_token)
    if auction.value_per_token > rival.value_per_token:
        more = auction.value_per_token / rival.value_per_token - 1
        said = f"{more:.0%} more value per token of compute than {escape(LONG_NAMES[rival.policy])}, the next best"
    else:
        less = 1 - auction.value_per_token / rival.value_per_token
        said = f"{less:.0%} less value per token of compute than {escape(LONG_NAMES[rival.policy])}"
    worse = sum(verdict.outcome == "worse" for verdict in result.verdicts)
    return f"The auction delivered {said}; by {worse} of {len(result.verdicts)} measures another policy did better."


def _caveat(result: DemoResult) -> str:
    """How the headline's number looks once the others leave out what nobody bids for."""
    told = max(result.selective, key=lambda row: row.value_per_token)
    return (
        f"Told to leave out the tasks that nobody bids for, the best of the three gets {told.value_per_token:.2f} of "
        f"value per token, against the auction's {result.auction.value_per_token:.2f}."
    )


def _tiles(result: DemoResult) -> str:
    auction = result.auction
    proven = sum(proof.ok for proof in result.proofs)
    tiles = [
        (f"{auction.value_per_token:.2f}", "dollars of impact per dollar of compute"),
        (f"{result.economy.price_median_tokens:,}", "tokens, the median clearing price"),
    ]
    if result.kill is not None:
        tiles.append(
            (f"{result.kill.recovery_s:.2f} s", f"to recover {result.kill.rows_recovered:,} rows after SIGKILL")
        )
    tiles.append((f"{proven} of {len(result.proofs)}", "proofs hold"))
    return "".join(
        f"<div class=tile><b>{escape(number)}</b><span>{escape(text)}</span></div>" for number, text in tiles
    )


def _table(rows: Sequence[Metrics], measures: Sequence[Measure], seeds: OtherSeeds | None = None) -> str:
    """A table of policies; with `seeds`, a last column says how often the auction is best with others."""
    head = "".join(f"<th{' class=auction' if row.policy == AUCTION else ''}>{escape(row.policy)}</th>" for row in rows)
    head += f"<th class=seeds>best with<br>{len(seeds.seeds)} other seeds</th>" if seeds else ""
    lines = []
    for one in measures:
        priced = one.field == "revenue_tokens"
        winner = None if priced else shown(one, best(one, rows))
        cells = []
        for row in rows:
            text = "-" if priced and row.policy != AUCTION else shown(one, row)
            classes = " ".join(["auction"] * (row.policy == AUCTION) + ["best"] * (text == winner))
            cells.append(f'<td class="{classes}">{text}</td>')
        if seeds:
            text = "-" if priced else f"{seeds.better_in[one.field]} of {len(seeds.seeds)}"
            cells.append(f"<td class=seeds>{text}</td>")
        note = "" if priced else f"<small>{one.better} is better</small>"
        lines.append(f"<tr><th>{escape(one.title)} {note}</th>{''.join(cells)}</tr>")
    return f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _selective_note(result: DemoResult) -> str:
    return (
        f"For {result.economy.tasks_declined:,} of {result.scene.tasks:,} tasks nobody ever bid: they were expected "
        "to burn more compute than they are worth. The policies without prices do them all the same. Here they are "
        "told to leave such tasks out, which takes a planner who knows every worth; in the market each bidder knows "
        "its own."
    )


def _price_note(result: DemoResult) -> str:
    economy, auction = result.economy, result.auction
    return (
        f"No two bid for one task, so all slots of a call have one price: the highest bid that got none. Its median is "
        f"{economy.price_median_tokens:,} tokens, its highest {economy.price_max_tokens:,}; where there were more "
        f"slots than bids it falls to 0. The slots earned {auction.revenue_tokens:,} tokens."
    )


def _wallet_note(result: DemoResult) -> str:
    economy, bidders = result.economy, result.scene.quests + result.scene.agents
    return (
        f"{economy.bidders_priced_out} of {bidders} bidders were priced out at some call, {economy.episodes} times in "
        f"all: a slot was worth the going price to them, and their wallet had less. After {economy.episodes_won_after} "
        f"of these stretches they won again. {economy.refused_for_funds:,} bids were refused for lack of tokens. "
        f"Minted: {economy.minted_tokens:,} tokens, to fund rewards for the most part, and {economy.wages_tokens:,} of "
        "them as wages for reviews; "
        f"{economy.compute_unpaid_tokens:,} tokens of compute found an empty wallet and stayed unpaid."
    )


def _kill_note(result: DemoResult) -> str:
    kill = result.kill
    if kill is None:
        return "The engine was left alive in this run."
    return (
        f"At {kill.at_virtual_s:.0f} s of virtual time, after {kill.acknowledged:,} commands had been acknowledged, "
        f"the engine's process got SIGKILL with {kill.in_flight} in flight: half of these durable but never answered, "
        f"half just sent. A new process read {kill.rows_recovered:,} rows from the journal in {kill.recovery_s:.3f} s "
        f"and answered {kill.outage_s:.2f} s after the kill, the start of Python included. All {kill.in_flight} were "
        f"sent again under their old ids; {kill.found_journaled} turned out to be journaled and were answered as they "
        "would have been, and none took effect twice."
    )


def proof_rows(proofs: Sequence[Proof]) -> str:
    """Table rows of the class `proofs`, for this report and others."""
    return "".join(
        f'<tr class="{"ok" if proof.ok else "failed"}"><td>{"holds" if proof.ok else "FAILED"}</td>'
        f"<th>{escape(proof.claim)}</th><td>{escape(proof.detail)}</td></tr>"
        for proof in proofs
    )


def _rules() -> Sequence[str]:
    return (
        f"A task is given up {TASK_TTL_US // 1_000_000} s after it came; a slot without a result is taken back after "
        f"{LEASE_US // 1_000_000} s. Slots free themselves at the calls, under every policy.",
        f"Quests bid {QUEST_SHADE:g} x EV, at most what is available over their open tasks; agents bid what a slot is "
        f"worth to them. EV: worth if solved, times the share solved (0.7 until ten results are known), less compute.",
        f"Winners pay the price at settlement, then their compute; {REWARD_TOKENS_PER_IMPACT / 1e6:.0%} of the impact "
        "comes back as tokens. Who was priced out for a minute earns a fifth of a starting wallet by reviews.",
        "Proportional split: each call a fixed bucket of tokens is divided by the static EV of what waits; slots that "
        "no budget pays for go to the best EV, so none is idle while a task waits.",
        "A bid buys one slot, however long its task keeps it: shortest job first gains by looking at just that.",
        "All know the same: worth, estimated cost and time. Nobody knows a task's luck.",
    )


def _list(sentences: Sequence[str]) -> str:
    return "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences) or "<li>nowhere</li>"
