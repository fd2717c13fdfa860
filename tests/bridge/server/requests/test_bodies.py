"""Bodies that are no body of the operation: none where one is needed, and fields where none is known.

Goal: what is sent is honoured or refused, as the document promises. Method: each change that takes no body, asked with
a field, and with the empty object that some clients always send.
"""

import pytest

from callmarket.bridge.api.contract.declaration import Declaration
from callmarket.bridge.server.http_app import endpoints
from tests.bridge.server.conftest import Served
from tests.support.cases import BY_ID

BODILESS = [
    one.declaration
    for one in endpoints()
    if one.declaration.method != "GET" and one.declaration.body is None and one.declaration.name in BY_ID
]


@pytest.mark.parametrize("declaration", BODILESS, ids=[one.name for one in BODILESS])
def test_a_field_is_refused_where_none_is_known(served: Served, declaration: Declaration) -> None:
    key = served.key(admin=True)
    case = BY_ID[declaration.name]
    path = case.at(market_id="m", account_id="a")
    told = served.ask(case.method, path, key=key, content=b'{"slots": 3}')
    assert (told.status_code, told.json().get("field")) == (400, "slots")
    told = served.ask(case.method, path, key=key, content=b"{}")
    assert told.status_code != 400 or told.json().get("field") != "body", told.text


def test_an_empty_body_is_named_where_one_is_needed(served: Served) -> None:
    told = served.ask("POST", "/api/v1/markets/m/bids", key=served.key(bid=("a",)))
    problem = told.json()
    assert (told.status_code, problem["field"], problem["bound"]) == (400, "body", "a JSON object")
