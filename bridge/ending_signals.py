"""Which signals end a process of ours in order.

Rule of this file: a process that was told to ignore a signal ignores it.
"""

import signal


def ending_signals() -> tuple[int, ...]:
    """SIGTERM, SIGINT, and the SIGHUP of a terminal that closes, unless that is ignored (`nohup`)."""
    hang_up = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
    return signal.SIGTERM, signal.SIGINT, *hang_up
