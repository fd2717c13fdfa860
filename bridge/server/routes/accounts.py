"""Accounts and tokens: opening wallets, minting, burning, paying.

Rule of this file: that of its folder.
"""

from litestar import get, post
from litestar.params import JSONBody

from callmarket.bridge.api import results, verbs
from callmarket.bridge.api.bodies import Minting, NewAccount, NewTransfer
from callmarket.bridge.api.questions import Earnings, MovementRow, WalletRow
from callmarket.bridge.api.reads import Wallet
from callmarket.bridge.api.results import Page, Posted, Stamp
from callmarket.bridge.server.routes.common import (
    COMMAND,
    PAYMENT,
    QUESTION,
    AckQuery,
    After,
    GivenCaller,
    GivenService,
    Limit,
    Newest,
    PathId,
)


@post("/wallets", operation_id="open_account", summary="Open a wallet", responses=COMMAND)
async def open_account(
    data: JSONBody[NewAccount], caller: GivenCaller, service: GivenService, ack: AckQuery = "durable"
) -> Stamp:
    """Open a wallet with nothing in it. Needs the scope `admin`."""
    request = verbs.open_account(data.account_id, data.kind, command_id=caller.command_id)
    return results.stamp(await service.submit(caller, request, ack))


@post("/wallets/{account_id:str}/mint", operation_id="mint", summary="Mint tokens", status_code=200, responses=COMMAND)
async def mint(
    account_id: PathId, data: JSONBody[Minting], caller: GivenCaller, service: GivenService, ack: AckQuery = "durable"
) -> Posted:
    """Make tokens for a wallet. Needs the scope `admin`. An earning with the same reference is paid once."""
    request = verbs.mint(
        account_id,
        data.amount_tokens,
        data.reason,
        data.reference_type,
        data.reference_id,
        data.memo,
        command_id=caller.command_id,
    )
    return results.posted(await service.submit(caller, request, ack))


@post("/wallets/{account_id:str}/burn", operation_id="burn", summary="Burn tokens", status_code=200, responses=PAYMENT)
async def burn(
    account_id: PathId, data: JSONBody[Minting], caller: GivenCaller, service: GivenService, ack: AckQuery = "durable"
) -> Posted:
    """Destroy available tokens of a wallet. Needs the scope `admin`."""
    request = verbs.burn(
        account_id,
        data.amount_tokens,
        data.reason,
        data.reference_type,
        data.reference_id,
        data.memo,
        command_id=caller.command_id,
    )
    return results.posted(await service.submit(caller, request, ack))


@post(
    "/wallets/{account_id:str}/transfers",
    operation_id="transfer",
    summary="Pay another account",
    status_code=200,
    responses=PAYMENT,
)
async def transfer(
    account_id: PathId,
    data: JSONBody[NewTransfer],
    caller: GivenCaller,
    service: GivenService,
    ack: AckQuery = "durable",
) -> Posted:
    """Pay from this wallet, which has to be one of the key's, or any with the scope `admin`."""
    request = verbs.transfer(
        account_id,
        data.to_account_id,
        data.amount_tokens,
        data.reason,
        data.reference_type,
        data.reference_id,
        data.memo,
        command_id=caller.command_id,
    )
    return results.posted(await service.submit(caller, request, ack))


@get("/wallets", operation_id="wallets", summary="List wallets", responses=QUESTION)
async def list_wallets(service: GivenService, limit: Limit = 100, after: After = None) -> Page[WalletRow]:
    """All wallets by name, with all that they ever earned and spent."""
    return await service.market.wallets(limit=limit, after=after)


@get("/wallets/{account_id:str}", operation_id="wallet", summary="Look at a wallet", responses=QUESTION)
async def get_wallet(account_id: PathId, service: GivenService) -> Wallet:
    """A wallet at this moment: its balance, what is held of it, and what is available."""
    return await service.market.wallet(account_id)


@get("/wallets/{account_id:str}/statement", operation_id="statement", summary="Its movements", responses=QUESTION)
async def get_statement(
    account_id: PathId,
    service: GivenService,
    limit: Limit = 100,
    after: After = None,
    order: Newest = "newest",
) -> Page[MovementRow]:
    """The movements of a wallet, each with the balances after it."""
    return await service.market.statement(account_id, limit=limit, after=after, order=order)


@get("/wallets/{account_id:str}/earnings", operation_id="earnings", summary="What it earned", responses=QUESTION)
async def get_earnings(
    account_id: PathId,
    service: GivenService,
    limit: Limit = 100,
    after: After = None,
    order: Newest = "newest",
) -> Earnings:
    """What a wallet was credited with: sums by reason over a day, a week and thirty days, and the credits."""
    return await service.market.earnings(account_id, limit=limit, after=after, order=order)


HANDLERS = (open_account, list_wallets, get_wallet, get_statement, get_earnings, mint, burn, transfer)
