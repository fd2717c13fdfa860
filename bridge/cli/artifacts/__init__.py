"""The commands about artifact markets: `artifact`.

Rule of this folder: each command asks a served market, as the key in the environment may, and changes nothing by
itself. A trade asks nothing back: its limit price is what keeps it from going wrong.
"""
