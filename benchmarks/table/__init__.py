"""The market beside what else one might take, in one table: `python3 dev.py bench`, or `bench-quick`.

Each peer is a file that adapts it to `peer.Peer`; `catalogue` names them all, `worker` holds one in a process of its
own, `campaign` goes round them by turns, `show` and `plot` say what was measured.
"""
