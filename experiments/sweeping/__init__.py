"""The parts of a sweep, which experiments/sweep.py puts together.

Begin with `plan` (the runs of a sweep file; `plan_table` prints them). `programs` groups runs that
can train as one, `jobs` says what is done for each, and `launchers` where: in worker processes
(`workers`, `worker`) or on a cluster (`cluster`); `wandb_sweep` leaves it to W&B's agents.
`live_table` shows the progress. No jax in the sweep's own process.
"""
