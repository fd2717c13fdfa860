"""`python -m bridge`: the same as the command `callmarket`.

Rule of this file: nothing but the call.
"""

from bridge.cli.commands import main

main()
