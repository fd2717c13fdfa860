"""How the database is reached: connections and what each session is set to, pools, the schema, rights.

Rule of this folder: it knows PostgreSQL and nothing of the market. No connection is opened anywhere else.
"""
