"""Runs compared with each other: who won, statistics over seeds, sentences, tables, a page.

Begin with `runs` (runs read from their folders) and `comparison` (their variants). On these stand
the statistics over seeds (`scores`, `curves`, `robust`, `leaders`, `summary`, `weights`) and over
held-out prompts (`over_prompts`); then who won (`verdict`; `terminal_table` prints it,
`verdict_table` is its texts), the sentences (`finding`), the numbers that a sweep changes
(`swept`), the completions, and the figures (`traces`, `plots`, `swept_plots`, `rounds`; `pictures`
saves them as PNG). `page` gives all of it to report.html.j2. No jax here.
"""
