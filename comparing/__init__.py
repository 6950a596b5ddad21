"""Runs compared with each other: statistics over seeds, sentences, a table and the report's page.

Begin with `runs` (runs read from their folders) and `comparison` (their variants, and the terminal
table). On these stand the statistics (`scores`, `curves`, `robust`, `leaders`, `summary`,
`weights`), the sentences (`finding`), the completions, and the figures (`traces`, `plots`,
`rounds`; `pictures` saves them as PNG). `page` gives all of it to report.html.j2. No jax here.
"""
