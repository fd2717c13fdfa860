"""What anybody may ask, and what a refused stream leaves behind.

Goal: the type of a problem leads to its explanation, and a request that came to nothing keeps no share of its key's.
"""

from callmarket.bridge.api.http.meanings import MEANINGS
from callmarket.bridge.server.problems import every_type
from callmarket.bridge.server.service import STREAMS_PER_KEY_MAX
from tests.bridge.server.conftest import Served


def test_each_type_of_problem_is_listed_and_explained_under_its_own_path(served: Served) -> None:
    listed = served.ask("GET", "/problems")
    assert listed.status_code == 200
    assert listed.json() == [
        {"type": f"/problems/{slug}", "status": status, "meaning": MEANINGS[slug]}
        for slug, status in every_type().items()
    ]
    for one in listed.json():
        explained = served.ask("GET", one["type"])
        assert (explained.status_code, explained.json()) == (200, one)


def test_a_type_that_is_none_is_a_problem_itself(served: Served) -> None:
    answer = served.ask("GET", "/problems/nothing")
    body = answer.json()
    assert (answer.status_code, body["type"], body["field"]) == (404, "/problems/not-found", "slug")
    assert body["detail"] == "slug: expected one of the types that /problems lists, got 'nothing'"


def test_a_stream_that_is_refused_takes_no_share_of_its_keys(served: Served) -> None:
    key = served.key(admin=True)
    for _ in range(STREAMS_PER_KEY_MAX + 1):
        answer = served.ask("GET", "/api/v1/events", key=key, params={"after_seq": 10**9})
        assert (answer.status_code, answer.json()["field"]) == (400, "after_seq")
    assert len(served.service._streams) == 0
