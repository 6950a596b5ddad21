"""The commands, one a file: `python -m experiments.train`, `.sweep`, `.report`, ... `--help`.

`command_line` reads their flags and prints their help; `sweeping` plans and runs many runs.
"""
