"""Access control: API keys, what they allow, and how often.

Rule of this folder: every request from outside passes `authenticator`, and each command goes through `authorize`, the
one place that decides as whom it is done. No transport is known here. The engine checks the actor again; it knows no
keys.
"""
