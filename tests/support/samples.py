"""One instance of every command and event, each field with a value of its own, and one full state, for tests of bytes.

Rule of this file: what stands here is in `tests/golden/`, so an instance is never changed; a new command or event is
added, and a new field gets its value in a new instance.
"""

from callmarket.engine.capital.commands import (
    CancelOrder,
    ClosePosition,
    DecaySubsidy,
    FreezeArtifact,
    OpenArtifactMarket,
    OpenPosition,
    SettleArtifact,
    UnfreezeArtifact,
)
from callmarket.engine.capital.events import (
    ArtifactFrozen,
    ArtifactMarketClosed,
    ArtifactMarketOpened,
    ArtifactSettled,
    ArtifactUnfrozen,
    OrderMatched,
    OrderRested,
    OrdersEnded,
    PositionsPaid,
    PursesSet,
    SettlementAnnounced,
    SharesTraded,
    SubsidyDecayed,
)
from callmarket.engine.commands import (
    AmendBid,
    BeginHistory,
    BindHolds,
    Burn,
    CancelBid,
    CaptureHold,
    ClearRound,
    Command,
    ExpireDue,
    Mint,
    OfferSlot,
    OpenAccount,
    OpenMarket,
    PlaceBid,
    PlaceHold,
    ReleaseHold,
    SettleAward,
    Transfer,
    VoidAward,
    WithdrawSlot,
)
from callmarket.engine.events import (
    AccountOpened,
    AwardGranted,
    AwardLapsed,
    AwardSettled,
    AwardsGranted,
    AwardVoided,
    BidAmended,
    BidCancelled,
    BidPlaced,
    BidsExpired,
    BidsLost,
    Event,
    HistoryBegun,
    HoldCaptured,
    HoldPlaced,
    HoldReleased,
    HoldsBound,
    HoldsExpired,
    MarketOpened,
    Rejected,
    Repeated,
    RoundCleared,
    SlotOffered,
    SlotWithdrawn,
    SweepFinished,
    TransferPosted,
)
from callmarket.engine.ids import OrderId, PositionId
from callmarket.engine.reject import Reject

COMMANDS: tuple[Command, ...] = (
    OpenAccount("alice", "agent"),
    Mint("alice", 11, "earn:debate", "debate", "d-7", "well argued"),
    Burn("alice", 12, "fee:monthly", "invoice", "i-8", 'a "quoted" memo'),
    Transfer("alice", "bob", 13, "tip", "task", "t-9", "häßlich \u2014 schön"),
    OpenMarket("m1", "vickrey", 14, 15, 16, "refund", 17, 18),
    OfferSlot("m1", "s1", 19, 20, "carol", 21),
    WithdrawSlot("s1"),
    PlaceBid("m1", "alice", "t1", 22, 23, 24, "gtd"),
    AmendBid(25, 26, 27),
    CancelBid(28),
    ClearRound("m1"),
    SettleAward("s1", 29, 30, 31),
    VoidAward("s1", 32),
    ExpireDue(),
    PlaceHold("h1", "alice", 33, "stake", "artifact", "x-7", 34, "for a year"),
    CaptureHold("h1", "bob", 35),
    ReleaseHold("h1"),
    # From rules 3 on.
    OpenMarket("m1", "vickrey", 14, 15, 16, "refund", 17, 18, "bidder", "pool", 38),
    BeginHistory(36, 37),
    BindHolds("stake", "artifact", "x-7"),
    WithdrawSlot("s1", "carol"),
    SettleAward("s1", 29, 30, 31, "carol"),
    VoidAward("s1", 32, "carol"),
    CaptureHold("h1", "bob", 35, "alice"),
    ReleaseHold("h1", "alice"),
    # From rules 4 on.
    OpenArtifactMarket("x-7", 136, 137, 138, 139, 140, 141, 142, "carol"),
    OpenPosition("x-7", "alice", "short", 143, 1_144, "gtd", 145),
    ClosePosition(PositionId(146), 147, 1_148, "fok", 149),
    CancelOrder(OrderId(150)),
    FreezeArtifact("x-7", 151),
    UnfreezeArtifact("x-7"),
    SettleArtifact("x-7", "flagged", 152),
    DecaySubsidy("x-7"),
)

EVENTS: tuple[Event, ...] = (
    Rejected(Reject.BIDS_PER_BIDDER_FULL, "bidder_id", "alice", 41),
    Repeated(42),
    AccountOpened("alice", "quest"),
    TransferPosted(43, "alice", "bob", 44, "tip", "task", "t-9", "thanks", 45, 46),
    MarketOpened("m1", "pay_as_bid", 47, 48, 49, "charge", 50, 51),
    SlotOffered("m1", "s1", 52, 53, 54, "carol", 55),
    SlotWithdrawn("s1"),
    BidPlaced(56, "m1", "alice", "t1", 57, 58, None, "round", 59),
    BidAmended(60, "alice", 61, 62, 63, 64),
    BidCancelled(65, "alice", 66),
    BidsLost("m1", 67, (68, 69), ("alice", "bob"), (70, 71)),
    BidsExpired((72, 73), ("alice", "bob"), (74, 75)),
    AwardGranted(76, "m1", 77, "s1", 78, "alice", "t1", "t2", 79, 80, "carol", 81, 82),
    RoundCleared("m1", 83, 84, 85, 86, 87, 88, 89, 90),
    AwardSettled(91, "s1", 92, "alice", 93, 94, 95, 96),
    AwardVoided(97, "s1", 98, "alice", 99),
    AwardLapsed(100, "s1", 101, "alice", 102, 103),
    SweepFinished(104, 105, 106, True),
    # From rules 2 on.
    SlotWithdrawn("s1", "m1"),
    BidAmended(60, "alice", 61, 62, 63, 64, "m1"),
    BidCancelled(65, "alice", 66, "m1"),
    AwardSettled(91, "s1", 92, "alice", 93, 94, 95, 96, "m1"),
    AwardVoided(97, "s1", 98, "alice", 99, "m1"),
    AwardLapsed(100, "s1", 101, "alice", 102, 103, "m1"),
    SweepFinished(104, 105, 106, True, 107),
    HoldPlaced("h1", 108, "alice", "admin", 109, "stake", "artifact", "x-7", 110, "for a year"),
    HoldCaptured("h1", 111, "alice", "bob", 112, 113),
    HoldReleased("h1", 114, "alice", 115),
    HoldsExpired(("h1", "h2"), (116, 117), ("alice", "bob"), (118, 119)),
    # From rules 3 on.
    MarketOpened("m1", "pay_as_bid", 47, 48, 49, "charge", 50, 51, "bidder", "pool", 121),
    RoundCleared("m1", 83, 84, 85, 86, 87, 88, 89, 90, 120),
    HistoryBegun(122, 123),
    HoldsBound("stake", "artifact", "x-7", 124, 125),
    SlotWithdrawn("s1", "m1", "carol"),
    AwardSettled(91, "s1", 92, "alice", 93, 94, 95, 96, "m1", "carol"),
    AwardVoided(97, "s1", 98, "alice", 99, "m1", "carol"),
    AwardLapsed(100, "s1", 101, "alice", 102, 103, "m1", "carol"),
    AwardsGranted(
        "m1", 126, 127, "t2", 128, ("s1", "s2"), (129, 130), ("alice", "bob"), ("t1", "t3"), (131, 132), (133,),
        ("carol",), (134, 135),
    ),
    # From rules 4 on.
    SweepFinished(104, 105, 106, True, 107, 153, 154),
    ArtifactMarketOpened("x-7", 155, 156, 157, 158, 159, 160, 161, "carol"),
    SharesTraded(
        "x-7", OrderId(162), "alice", PositionId(163), "short", "close", (0, 164), (165, 166), (167, 168), 169, -170,
        171, 172, 173, 174, 175, 176, 177, 178, 179, 180,
    ),
    OrderMatched(
        OrderId(181), "x-7", "bob", PositionId(182), "long", "open", 183, 184, 185, 186, 187, 188, 189
    ),
    OrderRested(OrderId(190), "x-7", "bob", PositionId(191), "long", "close", 192, 193, 194),
    OrdersEnded(
        "self_trade", (OrderId(195), OrderId(196)), ("x-7", "y"), ("alice", "bob"), ("open", "close"), (197, 198)
    ),
    PursesSet(("alice", "bob"), (199, 0)),
    ArtifactFrozen("x-7", 200, 201),
    ArtifactUnfrozen("x-7"),
    SettlementAnnounced("x-7", "void", None, 202),
    ArtifactSettled("x-7", "listed", 203, 204, 205, 206, 207, 208),
    PositionsPaid(
        "x-7", "void", None, (PositionId(209), PositionId(210)), ("alice", "bob"), (211, 212), (-213, 214)
    ),
    ArtifactMarketClosed("x-7", 215),
    SubsidyDecayed("x-7", 216, 217, 0, 218, 219),
)  # fmt: skip

# A script whose state has something in every row of its image.
FULL_WORLD = """
bound LOSERS_PER_CALL_MAX 1
market m rule=vickrey reserve=1 cap=2 lease=100 lapse=refund reward=3 reward_cap=4
market n scope=bidder
account a agent 1000
account q quest 500
account p provider
mint a 5 reason=earn:debate type=debate ref=7 id=k1
slot s1 provider=p
slot s2 at=50 reserve=2 lease=9
slot s3
withdraw s3
bid a t1 90 ttl=70 value=6 id=k2   -> bid 1
bid q t2 80                        -> bid 2
bid a t3 70 ttl=60                 -> bid 3
bid q t4 60 gtd ttl=40             -> bid 4
t=10 clear                         -> prices: 1@s1=80, lost 2, later 1
t=40 bid q t4 50 gtd ttl=90        -> bid 5
bid q t5 5 market=n                -> bid 6
bid ghost t6 1 id=k3               -> ACCOUNT_UNKNOWN
hold h1 a 7 reason=bounty type=artifact ref=x memo=soon until=99
hold h2 q 8 by admin
hold h3 q 9
hold h4 q 1
capture h3 a amount=2              -> paid 2 to a, released 7
release h4                         -> released 1
mint treasury 3
market r reward=3 reward_cap=4 reward_day=5 by admin
slot r1 market=r provider=p
bid q t7 2 market=r                -> bid 7
clear r                            -> price 0: 7@r1
settle r1 impact=9000000           -> reward 3
bind bounty artifact x
slot s2 provider=p at=99
account j agent
mint lmsr_subsidy_pool 30
artifact x 10 closes=900 exposure=1000000 arbiter=j
artifact y 5 closes=910 window=20
artifact z 5 closes=920
artifact w 5 closes=930
open x a long 10                       -> order 1: 15849623 for 9999999
open x q short 4 limit=300000 gtd until=800 -> order 2: 3625698 for 995356, rests 3004644
close 1 shares=5000 limit=999000 gtd until=810 -> order 3: rests 5000
open z a long 1                        -> order 4: 1878096 for 999999
bound SWEEP_ITEMS_MAX 0
judge z validated                      -> settled validated 1000000
judge y flagged                        -> announced until 60
freeze w until=70
"""
