"""Chaos: real commands, hurt at random, against the same commands left alone.

python -m tests.chaos --kills=1000     (docs/reliability.md has the table of a long run)

A `Work` (works.py) is a command, or two that train together. A `trial` (trials.py) types it in an
empty folder, does it harm (stops.py, damage.py, disk.py, servers.py), and types the same command
again until it ends. What it then left is compared with what it leaves when nobody disturbs it
(left_behind.py). All harm comes from outside: signals, files, disks and servers; the product knows
nothing of it. Everything random follows from the seed of the trial, but for the moment at which the
machine gets to where it was when the harm came.
"""
