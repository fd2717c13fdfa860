"""The ledger for others: what is exported, and what is imported from a chain.

Rule of this folder: the operations and what they read. How it is written, and how a log is read, is said in
`bridge/ledger_export`.
"""

from callmarket.bridge.api.operations.ledger.exports import (
    AccountAddress,
    ChainLog,
    LedgerMonths,
    agent_id_to_address,
    export_ledger_for_chain,
    export_ledger_month,
    ledger_months,
    register_address,
)
from callmarket.bridge.api.operations.ledger.imports import ImportReport, RefusedLog, import_chain_state

__all__ = ["AccountAddress", "ChainLog", "ImportReport", "Ledger", "LedgerMonths", "RefusedLog"]


class Ledger:
    """The operations on the ledger for others, as methods of a market."""

    agent_id_to_address = agent_id_to_address
    register_address = register_address
    export_ledger_for_chain = export_ledger_for_chain
    ledger_months = ledger_months
    export_ledger_month = export_ledger_month
    import_chain_state = import_chain_state
