"""`python -m dlc`: the same as the `dlc` command."""

import sys

from dlc.compiler.cli import main

sys.exit(main())
