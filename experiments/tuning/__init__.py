"""The parts of a tuned comparison, which experiments/tune.py puts together.

Begin with `space`: which fields of which variant are searched, over what. `search` chooses the
values of the next trial and which trials stop early, from those before it and nothing else.
`trials` reads the trials of a variant back from their runs' folders and makes the next job;
`results` keeps what came out, for `experiments.sweep --tuned`. No jax here but in a worker's job.
"""
