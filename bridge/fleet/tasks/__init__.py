"""Work: quests, their tasks, and what became of them.

Rule of this folder: what there is to do and who has it in hand; no tokens. What a task costs and who pays for it is the
market's (or, while that is unavailable, the daily budget's) to decide; here it is only recorded, once.
"""
