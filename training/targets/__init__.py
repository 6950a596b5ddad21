"""A run's own programs, compiled for chips that are not here: will it fit, and what bounds it?

`chips` has the table of targets, `compilers` finds their compilers and stands in for their devices,
`programs` lowers what a run would call, from shapes alone. The compiled text is read by `hlo` and
counted by `counts` (and `collectives`), `roofline` makes seconds of the counts, `report` a page.
"""
