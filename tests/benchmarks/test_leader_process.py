"""The leader that takeovers are measured with. Goal: its book is what the measurement is called after.

Method: the process itself on a real PostgreSQL, and a market that is opened on what it has left.
"""

from benchmarks.bench_takeover import WAIT_S, leader
from callmarket import open_exchange

RESTING = 40


def test_the_bids_of_the_leader_rest(database_url: str) -> None:
    # `leader` reads how many rest, and insists on it.
    with leader(database_url, RESTING) as process:
        process.terminate()
        assert process.wait(WAIT_S) == 0
    with open_exchange(database_url) as market:
        bids = market.read(lambda state: [state.bids[bid_id] for bid_id in sorted(state.bids)])
    assert len(bids) > RESTING
    assert [bid.time_in_force for bid in bids] == ["gtd"] * len(bids)
    assert [bid.task_id for bid in bids] == [f"task-{number}" for number in range(len(bids))]
