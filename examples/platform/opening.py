"""The platform's start: the market, its wallets, what is staked on artifacts, and the backlog.

Rule of this file: all of it may be done again, so a platform that was killed in the middle starts as a new one does.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from callmarket import Client
from callmarket.bridge.api.errors import NotFound
from callmarket.bridge.fleet.earning import create_account, grant_initial
from callmarket.bridge.fleet.research import post_bounty, stake
from callmarket.bridge.fleet.tasks.source import Backlog
from examples.platform.backlog import ARTIFACT_TYPE, ARTIFACTS, POOR, QUESTS, artifact_of, task_id_of, tasks_of

MARKET: Final = "agents"
PATRON: Final = "patron"
# Below any bid for a whole task here, and above what the poor quest begins with: it is priced out until it earns.
RESERVE_TOKENS: Final = 10
POOR_TOKENS: Final = 9
TOKENS_PER_TASK: Final = 60
# A stake funds research the longer it is there, so in these few minutes open bounties do.
STAKE_TOKENS: Final = 100
FUND_TOKENS: Final = 400
# Rewards are paid from the treasury: from this, and from what slots of its own would bring. A quest gets so much a day.
REWARD_FUND_TOKENS: Final = 50_000
REWARD_DAY_TOKENS: Final = 10_000
BOUNTY: Final = "bounty-parser"
BOUNTY_TOKENS: Final = 150
# What the bounty is for, and whose quest takes it on.
BOUNTY_TASK_NUMBER: Final = 2
BOUNTY_TASK: Final = task_id_of(POOR, BOUNTY_TASK_NUMBER)
# The same whenever it is asked, so that the bounty is posted once.
BOUNTY_ENDS: Final = datetime(2100, 1, 1, tzinfo=UTC)


def provider_of(number: int) -> str:
    """The account that sells a worker's slot."""
    return f"provider-{number}"


def open_platform(market: Client, work: Backlog, *, tasks: int, workers: int, seed: int) -> None:
    """Open what is not open yet. Needs the admin key. Raises as the verbs do."""
    try:
        market.market(MARKET)
    except NotFound:
        market.open_market(
            MARKET,
            reserve_price_tokens=RESERVE_TOKENS,
            # Longer than any work here, and than the market may be unavailable: work not settled by then is not paid.
            lease=timedelta(minutes=10),
            lapse_policy="refund",
            reward_tokens_per_impact=40,
            reward_cap_tokens=60,
            reward_day_cap_tokens=REWARD_DAY_TOKENS,
            command_id="platform-open",
        )
    grant_initial(market, "treasury", REWARD_FUND_TOKENS)
    for quest in QUESTS:
        tokens = POOR_TOKENS if quest.quest_id == POOR else TOKENS_PER_TASK * tasks
        create_account(market, quest.account_id, tokens, kind="quest")
    for number in range(1, workers + 1):
        create_account(market, provider_of(number), 0, kind="provider")
    _commit_capital(market)
    work.put_quests(QUESTS)
    backlog = [task for quest in QUESTS for task in tasks_of(quest, tasks, seed)]
    work.put_tasks(backlog)


def _commit_capital(market: Client) -> None:
    """A patron stakes tokens on each artifact and funds work on it; the poor quest takes on another bounty."""
    create_account(market, PATRON, (STAKE_TOKENS + FUND_TOKENS) * len(ARTIFACTS) + BOUNTY_TOKENS)
    for artifact in ARTIFACTS:
        market.put_artifact(artifact, ARTIFACT_TYPE)
        stake(market, f"stake-{artifact}", PATRON, artifact, STAKE_TOKENS)
        post_bounty(market, f"fund-{artifact}", PATRON, artifact, FUND_TOKENS, expires_at=BOUNTY_ENDS)
    post_bounty(market, BOUNTY, PATRON, artifact_of(BOUNTY_TASK_NUMBER), BOUNTY_TOKENS, expires_at=BOUNTY_ENDS)
    if market.bounty(BOUNTY, PATRON).status == "open":
        market.claim_bounty(BOUNTY, PATRON, POOR)
