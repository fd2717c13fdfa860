"""The tables of work: quests, tasks, claims, completions.

Rule of this folder: statements and the connections that they are sent on. Each statement is one transaction by itself,
so nothing is ever left half done or locked while Python thinks. What a row means is for `bridge.fleet.tasks`.
"""
