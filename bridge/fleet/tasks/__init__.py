"""Work: quests, their tasks, and what became of them.

Rule of this folder: tasks and claims on them; no tokens. What a task costs and what pays for it is the
market's (or, while that is unavailable, the daily budget's) to decide; here it is only recorded, once.
"""
