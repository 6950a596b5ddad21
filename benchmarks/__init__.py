"""Speed: training steps and sampling timed, alone and against other libraries. See README.md.

`python -m benchmarks.bench` times each of the `works` at one of the `sizes`, in a process of its
own: `processes` starts one, `worker` runs in it, `steps` makes the timed steps of the trainer's own
parts. `training/flops.py` counts what a step needs, `rates` measures what the machine can do.

By themselves stand `population` (seeds trained as one program against one after another), `logits`
(logits in pieces), `load` with its `crowd` (large amounts), `serving` (chat under load), and
peers/run.py (TRL and Tunix at the same work).
"""
