"""`python -m callmarket`: the same as the command `callmarket`.

Rule of this file: nothing but the call.
"""

from callmarket.bridge.cli.commands import main

main()
