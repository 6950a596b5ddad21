"""Runs that share their shapes, trained as one program: a population.

`lockstep.py` has the members, each a run's own code in a thread, and tells how they meet;
`shared.py` the compiled functions in which they do; `membership.py` the questions that a run's code
asks of its population; `programs.py` says which runs can be members of one.
"""
