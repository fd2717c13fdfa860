"""The command line.

Rule of this folder: arguments in, tables or JSON out; `commands` has them all, and each other file what some of them
do. Reading commands use only what is committed and can be run beside the engine.
"""
