"""The command line.

Rule of this folder: arguments in, tables or JSON out. `commands` declares most commands; each other file implements
some of them. Commands that read use only committed data and can run beside the engine.
"""
