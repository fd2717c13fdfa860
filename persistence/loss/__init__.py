"""When the database has less than was acknowledged: how it is noticed, accepted by an operator, and what was lost kept.

Rule of this folder: nothing here makes a loss good by itself; it says what is missing, and a person decides.
"""
