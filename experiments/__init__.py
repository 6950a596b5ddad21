"""The commands, one a file: `python -m experiments.train`, `.sweep`, `.report`, ... `--help`.

`command_line` reads their flags and prints their help; `sweeping` plans and runs many runs.
"""

import sys

from experiments.command_line import endings

if sys.argv[:1] == ["-m"]:  # so Python says while it looks for the command to run
  endings.quiet_from_the_first_second()
