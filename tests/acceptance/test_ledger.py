"""The ledger for others, from outside: a served market, its clients and its tables.

Goal: the point of docs/acceptance.md about chains. What one part does is proved beside it.
"""

from typing import Any

import psycopg

from callmarket import Client
from tests.support.chain_logs import TOKEN, account_of, transfer_log

Sql = psycopg.Connection[dict[str, Any]]


def test_the_ledger_goes_to_a_chain_and_back(client: Client, sql: Sql) -> None:
    """RES-11: addresses, logs that any tool for chains decodes, and an import that skips what it knows."""
    client.open_account("res-chain")
    client.register_address("res-chain", account_of(11), "base")
    client.register_address("issuance", TOKEN, "base")
    assert client.agent_id_to_address("res-chain", "base").address == account_of(11)
    state = [transfer_log(1, None, account_of(11), 60), transfer_log(2, account_of(11), None, 20)]
    assert client.import_chain_state(state, "base").applied == 2
    assert client.wallet("res-chain").balance_tokens == 0
    assert client.import_chain_state(state, "base", dry_run=False).applied == 2
    assert client.import_chain_state(state, "base", dry_run=False).known == 2
    assert client.wallet("res-chain").balance_tokens == 40
    since = client.statement("res-chain", order="oldest").items[0].at
    mine = [
        (log.value, log.topics[1:], log.address)
        for log in client.export_ledger_for_chain(since, "base").items
        if "res-chain" in (log.from_account_id, log.to_account_id)
    ]
    assert [one[1:] for one in mine] == [(tuple(log["topics"][1:]), TOKEN) for log in state]
    assert [one[0] for one in mine] == [f"{tokens}{'0' * 18}" for tokens in (60, 20)]
    query = "SELECT account_id, chain FROM account_addresses WHERE address = %s"
    row = sql.execute(query, (account_of(11),)).fetchone()
    assert row == {"account_id": "res-chain", "chain": "base"}
