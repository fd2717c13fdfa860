"""What is compared: the trace, the bidders, the policies, and the market that plays them.

Rule of this folder: seeded and without a clock; nothing is shown here.
"""
