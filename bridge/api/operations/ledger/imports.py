"""Import of what has moved on a chain.

Rule of this file: a log is paid once, for ever, in any order and after any crash, because the ledger remembers it by
its credited account and its reference (LED-4), and an address never changes its account. A dry run is the same but for
the doing.
"""

from collections.abc import Generator, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from callmarket.bridge.api.checks import check_one_of
from callmarket.bridge.api.contract.operation import Submit, Workflow, operation
from callmarket.bridge.api.contract.queries import Moment, StateQuery, TableQuery, weight_of_page, weight_of_rows
from callmarket.bridge.api.contract.requests import request
from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.messages import Reply, Request
from callmarket.bridge.api.operations.ledger.resolving import EARNED, Known, Movement, Resolved, resolve
from callmarket.bridge.ledger_export.addresses import CHAINS, Chain, bridge_account
from callmarket.bridge.ledger_export.incoming import Arrival, Fault, shown
from callmarket.bridge.ledger_export.rehearsal import copy_of, rehearse
from callmarket.engine import commands
from callmarket.engine.commands import ADMIN, Command
from callmarket.engine.events import Events, Rejected
from callmarket.engine.ledger import earning_of
from callmarket.engine.reject import Reject
from callmarket.engine.state import State as EngineState

# In one request: with its field names a log is about a kilobyte, and a body has a megabyte.
LOGS_MAX: Final = 500
# What leaves for a chain ends in its bridge account, and is burned there.
BURN: Final = "bridge:burn"

State = Annotated[
    list[Any], Meta(max_length=LOGS_MAX, description="Logs, each as an object that `eth_getLogs` returns.")
]
SourceChain = Annotated[Chain, Meta(description="The chain that they are of.")]
DryRun = Annotated[bool, Meta(description="Whether nothing is done, and only the report is made.")]


# A mint, of the token of shard 0 where none is registered.
EXAMPLE: Final = {
    "address": "0x3d3f26a316cef1372f12466e114932c496534243",
    "topics": [
        "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef",
        "0x0000000000000000000000000000000000000000000000000000000000000000",
        "0x0000000000000000000000005aaeb6053f3e94c9b9a09f33669435e7ef1beaed",
    ],
    "data": "0x00000000000000000000000000000000000000000000003635c9adc5dea00000",
    "blockNumber": "0x1406f40",
    "blockHash": "0x63bd62970de26e490555c77caa14f65352cb4ee9a4c68eb7f60ccd7775ca200a",
    "transactionHash": "0xd1f2f07cdf618fd4bc436cd86abfd63e64cd4411f031e70785ecc68104f3a587",
    "transactionIndex": "0x0",
    "logIndex": "0x0",
    "removed": False,
}


class RefusedLog(Struct, frozen=True):
    """A log that was not applied: its place in the list, its name where it has one, and why.

    `reason` is `LOG` for what a log says, else the market's own word.
    """

    index: int
    reference_id: str
    reason: str
    field: str
    value: str
    bound: str


class ImportReport(Struct, frozen=True):
    """What came of the logs: applied now, known before, or refused. With `dry_run`: what would have come of them.

    `tokens_in` were minted and `tokens_out` burned; the rest moved between accounts.
    """

    source_chain: Chain
    dry_run: bool
    applied: int
    known: int
    refused: tuple[RefusedLog, ...]
    tokens_in: int
    tokens_out: int
    seq: int
    durable_seq: int


@operation(
    "POST",
    "/ledger/import",
    "Ledger",
    "Import what has moved on a chain",
    needs="admin",
    example={"state": [EXAMPLE], "source_chain": "ethereum"},
)
def import_chain_state(state: State, source_chain: SourceChain, dry_run: DryRun = True) -> Workflow[ImportReport]:
    """Do here what Transfer logs of the token say was moved on a chain, each once. Needs the scope `admin`.

    Up to 500 logs, as `eth_getLogs` or `export_ledger_for_chain` gives them, of blocks that are final. A mint is a
    mint, a transfer a transfer, and a burn leaves through the account `bridge-<chain>`, where it is burned; addresses
    must have been registered. Each is an earning with the reason `earn:bridge` and the log as its reference, so it is
    known the second time (LED-4), as is a log of this ledger's own rows. What is refused can be imported again later.
    """
    check_one_of("source_chain", source_chain, CHAINS)
    if type(dry_run) is not bool:
        raise Invalid("dry_run", dry_run, "true or false")
    logs = _logs(state)

    def steps() -> Generator[Any, Any, ImportReport]:
        resolved: list[Resolved] = yield TableQuery(
            lambda at: resolve(at, source_chain, logs), 2 * weight_of_page(len(logs))
        )
        run = _Import(source_chain, resolved)
        copy: EngineState = yield StateQuery(run.copy, lambda _: weight_of_rows(4 * len(logs)))
        run.rehearsed(rehearse(copy, run.commands()))
        if not dry_run:
            if requests := run.requests():
                run.done((yield Submit(requests, as_written=True)))
            yield from _burned(source_chain)
        seq, durable_seq = yield StateQuery(lambda moment: (moment.state.seq, moment.durable_seq))
        return run.report(dry_run=dry_run, seq=seq, durable_seq=durable_seq)

    return Workflow(steps())


def _burned(chain: Chain) -> Generator[Any, Any, None]:
    """Burn what is in the bridge account: of these logs, and of an import that was killed before it came to this."""
    account_id = bridge_account(chain)

    def left(moment: Moment) -> int:
        account = moment.state.ledger.accounts.get(account_id)
        return 0 if account is None else account.available_tokens

    tokens = yield StateQuery(left)
    if tokens:
        # Refused where another import has burned it meanwhile.
        yield Submit([request(ADMIN, commands.Burn(account_id, tokens, BURN, f"chain:{chain}"))], as_written=True)


class _Import:
    """The logs of one import with what has come of each."""

    def __init__(self, chain: Chain, resolved: Sequence[Resolved]) -> None:
        self._chain: Final = chain
        self._known = sum(isinstance(one, Known) for one in resolved)
        self._refused = [_refused(index, "LOG", one) for index, one in enumerate(resolved) if isinstance(one, Fault)]
        movements = [(index, one) for index, one in enumerate(resolved) if isinstance(one, Movement)]
        # As on the chain, so that what is spent is there before.
        movements.sort(key=lambda one: (one[1].arrival.block_number, one[1].arrival.log_index))
        self._movements = movements
        self._opens_bridge = False

    def copy(self, moment: Moment) -> EngineState:
        """The accounts and earnings that these logs are about."""
        bridge = bridge_account(self._chain)
        leaves = any(one.credit_id == bridge for _, one in self._movements)
        self._opens_bridge = leaves and bridge not in moment.state.ledger.accounts
        sides = {name for _, one in self._movements for name in _sides(one)}
        earnings = [
            earning_of(one.credit_id, EARNED, one.command.reference_type, one.command.reference_id)
            for _, one in self._movements
        ]
        return copy_of(moment.state, sides, earnings)

    def commands(self) -> list[Command]:
        """What is to be done, in order."""
        opening: list[Command] = [commands.OpenAccount(bridge_account(self._chain), "provider")]
        return opening * self._opens_bridge + [one.command for _, one in self._movements]

    def requests(self) -> list[Request]:
        """The same as requests; none where nothing is left to do."""
        return [request(ADMIN, command) for command in self.commands()] if self._movements else []

    def rehearsed(self, outcomes: Sequence[Events]) -> None:
        """Note what would come of them. What would not be done is not asked for."""
        self._note(outcomes)

    def done(self, replies: Sequence[Reply]) -> None:
        """Note what has come of what was asked for."""
        self._note([reply.events for reply in replies])

    def report(self, *, dry_run: bool, seq: int, durable_seq: int) -> ImportReport:
        """What came of all."""
        applied = [one for _, one in self._movements]
        return ImportReport(
            source_chain=self._chain,
            dry_run=dry_run,
            applied=len(applied),
            known=self._known,
            refused=tuple(sorted(self._refused, key=lambda one: one.index)),
            tokens_in=sum(one.arrival.tokens for one in applied if one.arrival.debit is None),
            tokens_out=sum(one.arrival.tokens for one in applied if one.arrival.credit is None),
            seq=seq,
            durable_seq=durable_seq,
        )

    def _note(self, outcomes: Sequence[Events]) -> None:
        kept = []
        for (index, one), events in zip(self._movements, outcomes[self._opens_bridge :], strict=True):
            match events[0]:
                case Rejected(reason=Reject.EARNING_DUPLICATE):
                    self._known += 1
                case Rejected(reason, field, value, bound):
                    fault = Fault(field, shown(value), shown(bound))
                    self._refused.append(_refused(index, reason.value, fault, one.arrival))
                case _:
                    kept.append((index, one))
        self._movements = kept


def _sides(one: Movement) -> tuple[str, ...]:
    command = one.command
    return (one.credit_id, command.from_account_id) if isinstance(command, commands.Transfer) else (one.credit_id,)


def _refused(index: int, reason: str, fault: Fault, arrival: Arrival | None = None) -> RefusedLog:
    return RefusedLog(index, arrival.reference_id if arrival else "", reason, fault.field, fault.value, fault.bound)


def _logs(state: object) -> list[Any]:
    """The logs as plain objects. Raises `Invalid`."""
    if not isinstance(state, list | tuple) or len(state) > LOGS_MAX:
        raise Invalid("state", state, f"a list of up to {LOGS_MAX} logs")
    # Logs of an export may be handed on as they are.
    return [msgspec.to_builtins(log) if isinstance(log, Struct) else log for log in state]
