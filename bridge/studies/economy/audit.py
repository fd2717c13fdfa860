"""The proofs: the journal added up by independent books, the report against the engine, and LED-7 from the ledger.

Rule of this file: every proof is computed from two records that were kept apart, and says its numbers.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from callmarket.bridge.studies.demo.audit import Proof, Row
from callmarket.bridge.studies.demo.scenario.books import Books
from callmarket.bridge.studies.economy.ledger import DEMURRAGE, Day, Movement, Return
from callmarket.engine.codec import decode_events
from callmarket.engine.commands import ISSUANCE


def audit_every_step(journal: Sequence[Row]) -> Proof:
    """LED-1, LED-2: books that know nothing but the events balance after each row."""
    books = Books()
    wrong = ""
    for row in journal:
        try:
            for event in decode_events(row.events_json):
                books.add(event)
            books.check()
        except AssertionError as error:
            wrong = f"row {row.seq}: {error}"
            break
    detail = f"{len(journal):,} rows, {books.minted_tokens:,} minted, {books.burned_tokens:,} burnt"
    return Proof("tokens are conserved at every step", not wrong, wrong or detail)


def audit_supply(days: Sequence[Day], engine: Mapping[str, int]) -> Proof:
    """What the days say was made and destroyed is what the engine's issuance owes."""
    minted = sum(day.minted_tokens for day in days)
    burnt = sum(day.burnt_tokens for day in days)
    by_reason = sum(day.granted_tokens + day.funded_tokens + day.earned_tokens for day in days)
    supply = -engine[ISSUANCE]
    ok = minted - burnt == supply == days[-1].supply_tokens and by_reason == minted
    return Proof(
        "the supply report adds up to the engine's issuance", ok, f"{minted:,} - {burnt:,} = {supply:,} in circulation"
    )


def audit_wallets(ledger: Mapping[str, int], engine: Mapping[str, int]) -> Proof:
    """The ledger's movements add up to every balance of the engine."""
    wrong = [name for name, balance in engine.items() if ledger.get(name, 0) != balance]
    detail = f"{len(engine) - len(wrong)} of {len(engine)} accounts"
    return Proof("the ledger adds up to the engine's wallets", not wrong and not ledger.keys() - engine.keys(), detail)


def audit_demurrage(movements: Sequence[Movement]) -> Proof:
    """No account has paid for a period twice."""
    charges = Counter((one.from_account, one.reference_id) for one in movements if one.reason == DEMURRAGE)
    twice = [key for key, count in charges.items() if count > 1]
    detail = f"{len(charges):,} charges" + (f"; twice: {twice[0]}" if twice else "")
    return Proof("idle tokens paid once for a period", not twice, detail)


def audit_returns(returns: Sequence[Return]) -> Proof:
    """LED-7: a bidder that is out had less than the price; one that is back had earned meanwhile what it then paid."""
    back = [one for one in returns if one.price_tokens is not None]
    wrong = [one for one in returns if one.out_price_tokens <= one.available_tokens]
    wrong += [
        one
        for one in back
        if one.earned_tokens + one.rewarded_tokens <= 0
        or one.available_tokens + one.earned_tokens + one.rewarded_tokens < (one.price_tokens or 0)
    ]
    detail = f"priced out {len(returns)} times, back {len(back)} times, each after earning"
    return Proof(
        "a bidder that is priced out comes back by earning",
        not wrong,
        f"{detail}; wrong: {wrong[0]}" if wrong else detail,
    )
