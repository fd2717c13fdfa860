"""A market under load, there to be killed: `python -m tests.support.load_process URL LOG SEED threads|tasks [standby]`.

It says `opening` before it opens the exchange, `standing` if it stands by, `ready` when it leads, `serving` when the
first command is answered, and `calling` and `called` around each call of a market, so that whoever kills it can choose
the moment; and `over` when it leads no longer. It ends by being killed, by SIGTERM, or when its input ends.
Rule of this file: clients keep to the contract. Each request has a command id and is noted before it is sent; what has
no answer is sent again, after a restart too; an answer is noted when it has come, and so is an error that came instead.
"""

import asyncio
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from callmarket import AsyncExchange, Exchange, NotFound, Reply, Request, Unavailable, UnknownOutcome, open_exchange
from callmarket.bridge.api.contract.requests import as_actor
from callmarket.bridge.api.operations.accounts import burn, mint, open_account, transfer
from callmarket.bridge.api.operations.bids import cancel_bid, place_bid
from callmarket.bridge.api.operations.markets import open_market
from callmarket.bridge.api.operations.rounds import clear_request, sweep_request
from callmarket.bridge.api.operations.slots import offer_slot, settle, void
from callmarket.engine.codec import decode_command
from callmarket.engine.commands import TREASURY
from callmarket.engine.events import AwardGranted, BidPlaced, one_by_one
from callmarket.engine.limits import RECEIPTS_MAX
from tests.support.client_log import ClientLog, Intent, read_log

MARKET_IDS = ("short", "long")
BIDDER_IDS = tuple(f"bidder-{number}" for number in range(6))
THREADS = 6
TASKS = 40
RETRY_AFTER_S = 0.02
LOOK_EVERY_S = 0.05

Client = Generator[list[Request], list[Reply], None]
"""What one client does: it yields requests and is sent their replies."""


def beginning(name: str) -> Client:
    """The first command of a process."""
    yield [sweep_request(command_id=f"{name}-first")]


def setting_up() -> Client:
    """Accounts and markets; the same ids each time, so that only the first process does it."""
    yield [
        open_market.request("short", lease=timedelta(milliseconds=40), lapse_policy="refund", command_id="setup-short"),
        open_market.request(
            "long",
            pricing_rule="vickrey",
            reward_tokens_per_impact=3,
            reward_cap_tokens=50,
            reward_day_cap_tokens=1_000,
            command_id="setup-long",
        ),
        mint.request("treasury", 10**9, "fund:rewards", command_id="setup-fund"),
    ]
    yield [open_account.request(bidder_id, command_id=f"setup-{bidder_id}") for bidder_id in BIDDER_IDS]
    yield [
        mint.request(bidder_id, 10**9, "grant:initial", command_id=f"setup-mint-{bidder_id}")
        for bidder_id in BIDDER_IDS
    ]


def resending(intents: list[Intent]) -> Client:
    """What earlier processes left without an answer, as it was."""
    for intent in intents:
        yield [Request(intent.actor, decode_command(bytes(intent.command)), intent.command_id)]


def bidding(rng: random.Random, name: str) -> Client:
    """A bidder: bids, singly and in batches, cancels, pays others, asks too much, and retries what it has done."""
    me = rng.choice(BIDDER_IDS)
    bid_ids: list[int] = []
    latest: list[Request] = []
    number = 0

    def bid() -> Request:
        nonlocal number
        number += 1
        until = datetime.now(UTC) + timedelta(milliseconds=rng.randint(10, 300)) if rng.random() < 0.3 else None
        return place_bid.request(
            rng.choice(MARKET_IDS),
            me,
            f"{name}-task-{number}",
            rng.randint(1, 100),
            ttl_at=until,
            time_in_force="gtd" if until else "round",
            command_id=f"{name}-{number}",
        )

    while True:
        number += 1
        command_id = f"{name}-{number}"
        match rng.random():
            case chance if chance < 0.15 and bid_ids:
                requests = [as_actor(cancel_bid.request(bid_ids.pop(), command_id=command_id), me)]
            case chance if chance < 0.25:
                requests = [
                    transfer.request(me, rng.choice(BIDDER_IDS), rng.randint(1, 9), "gift:any", command_id=command_id)
                ]
            case chance if chance < 0.30 and latest:
                requests = latest
            case chance if chance < 0.35:
                requests = [burn.request(me, 2 * 10**9, "too:much", command_id=command_id)]
            case chance if chance < 0.45:
                requests = [bid() for _ in range(rng.randint(2, 8))]
            case _:
                requests = [bid()]
        replies = yield requests
        latest = requests
        bid_ids += [event.bid_id for reply in replies for event in reply.events if isinstance(event, BidPlaced)]


def operating(rng: random.Random, name: str) -> Client:
    """The operator: offers slots, calls markets, settles, voids, leaves some to lapse, sweeps."""
    number = 0

    def next_id() -> str:
        nonlocal number
        number += 1
        return f"{name}-{number}"

    while True:
        market_id = rng.choice(MARKET_IDS)
        slots = [f"{name}-slot-{number}-{i}" for i in range(3)]
        offers = [offer_slot.request(market_id, one, provider_id=TREASURY, command_id=next_id()) for one in slots]
        yield offers
        say("calling")
        (called,) = yield [clear_request(market_id, command_id=next_id())]
        say("called")
        for event in one_by_one(called.events):
            if isinstance(event, AwardGranted) and rng.random() < 0.8:
                impact = rng.randint(0, 20)
                if rng.random() < 0.8:
                    yield [settle.request(event.slot_id, 7, impact, **whose(event), command_id=next_id())]
                else:
                    yield [void.request(event.slot_id, **whose(event), command_id=next_id())]
        yield [sweep_request(command_id=next_id())]


def whose(award: AwardGranted) -> dict[str, Any]:
    """The award and its slot by name: what is logged is what has to be in the journal."""
    return {"provider_id": award.provider_id, "award_id": award.award_id}


def say(word: str) -> None:
    """Tell the parent; a pipe that nobody reads any more is no reason to stop."""
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


def run_blocking(market: Exchange, log: ClientLog, client: Client) -> None:
    """Do what a client wants, in this thread."""
    requests = next(client, None)
    while requests is not None:
        log.intend(requests)
        while True:
            try:
                replies = market.submit(requests)
                break
            except (Unavailable, UnknownOutcome) as error:
                log.failed("client", type(error).__name__, str(error))
                if market.role == "ended":
                    return
                # Not an answer: the same again, with the same ids.
                time.sleep(RETRY_AFTER_S)
        log.told(requests, replies)
        try:
            requests = client.send(replies)
        except StopIteration:
            return


async def run_awaiting(exchange: Exchange, log: ClientLog, client: Client) -> None:
    """The same for asyncio."""
    market = AsyncExchange(exchange)
    requests = next(client, None)
    while requests is not None:
        log.intend(requests)
        while True:
            try:
                replies = await market.submit(requests)
                break
            except (Unavailable, UnknownOutcome) as error:
                log.failed("client", type(error).__name__, str(error))
                if exchange.role == "ended":
                    return
                await asyncio.sleep(RETRY_AFTER_S)
        log.told(requests, replies)
        try:
            requests = client.send(replies)
        except StopIteration:
            return


def looking_on(market: Exchange, log: ClientLog) -> None:
    """A reader of the tables, who also watches that the watermark never falls. In a thread of its own."""
    durable_seq = 0
    while market.role != "ended":
        before, durable_seq = durable_seq, market.durable_seq
        if durable_seq < before:
            log.failed("watermark", "Fell", f"from {before} to {durable_seq}")
        try:
            market.get_recent_stats("short", timedelta(seconds=1))
        except NotFound:
            pass  # it is about to be opened
        except Exception as error:  # noqa: BLE001 -- what a reader may see is for the test to judge
            log.failed("reader", type(error).__name__, str(error))
        time.sleep(LOOK_EVERY_S)


def clients_of(seed: int, bidders: int, intents: list[Intent]) -> list[Client]:
    """All clients of one process. The seed is in the ids, so that no two processes share one."""
    rng = random.Random(seed)
    clients = [bidding(random.Random(rng.random()), f"s{seed}-b{number}") for number in range(bidders)]
    return [*clients, operating(random.Random(rng.random()), f"s{seed}-o"), resending(intents)]


async def run_all(market: Exchange, log: ClientLog, clients: list[Client]) -> None:
    """All clients in one loop."""
    await asyncio.gather(*(run_awaiting(market, log, client) for client in clients))


def say_when_over(market: Exchange) -> None:
    """Tell the parent, and a person."""
    reason = market.wait_until_over()
    sys.stderr.write(f"over: {reason}\n")
    sys.stderr.flush()
    say("over")


def end(market: Exchange) -> None:
    """As a service ends: what is queued is written, who waits is answered, and a standby takes over."""
    market.close()
    say("closed")
    os._exit(0)  # its clients are threads that do not end


def main() -> None:
    """Open, say so, and work until killed."""
    url, path, seed, mode = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    say("opening")
    market = open_exchange(url, standby="standby" in sys.argv[5:])
    # In a thread of its own: the signal comes in the middle of whatever this one does.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=end, args=(market,)).start())
    if market.role == "standby":
        say("standing")
        market.wait_until_leading()
    log = ClientLog(path)
    say("ready")
    threading.Thread(target=say_when_over, args=(market,), daemon=True).start()
    run_blocking(market, log, beginning(f"s{seed}"))
    say("serving")
    if market.read(lambda state: state.seq) < RECEIPTS_MAX // 2:
        # Later the ids may be forgotten, and whoever began the market has long done it.
        run_blocking(market, log, setting_up())
    # Only now: whoever led before may have left more without an answer.
    intents = read_log(path).unanswered()
    threading.Thread(target=looking_on, args=(market, log), daemon=True).start()
    clients = clients_of(seed, THREADS if mode == "threads" else TASKS, intents)
    if mode == "threads":
        for client in clients:
            threading.Thread(target=run_blocking, args=(market, log, client), daemon=True).start()
    else:
        threading.Thread(target=lambda: asyncio.run(run_all(market, log, clients)), daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
