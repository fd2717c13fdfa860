"""Whether a process may begin to lead, by what its clock, the database's, the last leader and an operator say.

Rule of this file: pure. It gives the reason against, or nothing; a process that may not lead may ask again.
"""

from typing import Final

from callmarket.bridge.timekeeping import messages
from callmarket.bridge.timekeeping.judge import Answer, Reading
from callmarket.persistence.leadership.market_time import View, Word

# An operator speaks of the present: a process that begins to lead later than this after the word decides by itself.
WORD_US_MAX: Final = 600_000_000
# No market stands still for a month: such a pause may be a machine that started with the clock of another year.
ABSENCE_US_MAX: Final = 31 * 86_400_000_000


def vouched(word: Word | None, reading: Reading, database_us: int, bound_us: int) -> bool:
    """Whether an operator has just said that it is the time that this machine's clock says."""
    if word is None:
        return False
    since_us = database_us - word.said_us
    return 0 <= since_us <= WORD_US_MAX and abs(reading.wall_us - word.time_us - since_us) <= bound_us


def lead_of(word: Word | None) -> int:
    """By how much the market's time leads."""
    return 0 if word is None else word.lead_us


def objection(reading: Reading, answer: Answer, view: View, machine: str, bound_us: int) -> str:
    """Why a process whose clock was not compared with any before must not lead; empty if it may."""
    wall_us = reading.wall_us
    if not vouched(view.word, reading, view.database_us, bound_us):
        ahead_us = answer.ahead_us(wall_us - reading.steady_us)
        if abs(ahead_us) > bound_us:
            return messages.apart(wall_us, ahead_us)
        evidence = view.evidence
        if evidence is not None and machine and evidence.machine == machine:
            believed_us = evidence.time_us + reading.steady_us - evidence.uptime_us
            if abs(wall_us - believed_us) > bound_us:
                return messages.leapt_before(wall_us, believed_us)
        if evidence is not None and evidence.time_us - wall_us > bound_us:
            return messages.led_later(wall_us, evidence.time_us)
        last_us = max(view.last_us - lead_of(view.word), 0 if evidence is None else evidence.time_us)
        if view.holding and last_us and wall_us - last_us > ABSENCE_US_MAX:
            return messages.absent(last_us, wall_us)
    return market_ahead(wall_us, view, bound_us)


def market_ahead(wall_us: int, view: View, bound_us: int) -> str:
    """Whether the market's time stands still in the future, in words; empty if not."""
    now_us = wall_us + lead_of(view.word)
    return messages.market_ahead(view.last_us, now_us) if view.last_us - now_us > bound_us else ""
