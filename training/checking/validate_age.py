"""Checks of how old the responses of an online run are: its lag, its snapshots, its replay."""

import os
from collections.abc import Iterator

from ml_collections import ConfigDict

A_TOKEN = 4 + 1 + 4 + 4  # bytes, while it waits: itself, its mask, one or two log-probs
SHARE = 0.5  # of the machine's memory that may wait


def problems(config: ConfigDict) -> Iterator[str]:
  """Yields what is wrong, a line each."""
  sampling, replay = config.sampling, config.replay
  changed = [f"sampling.lag={sampling.lag}"] * (sampling.lag > 0)
  changed += [f"sampling.sync_every={sampling.sync_every}"] * (sampling.sync_every > 1)
  changed += [f"replay.share={replay.share:g}"] * (replay.share != 0)
  if changed and config.source != "online":
    yield f"{' and '.join(changed)}: only source='online' samples, not {config.source!r}"
    return
  if not 0 <= replay.share < 1:
    yield f"replay.share={replay.share:g}: from 0 (no replay) to below 1 (nothing new)"
  elif replay.share:
    yield from _of_replay(config)
  yield from _of_memory(config)


def _of_replay(config: ConfigDict) -> Iterator[str]:
  replay, batch = config.replay, config.batch_prompts
  devices = config.mesh.data * config.mesh.fsdp
  again = round(replay.share * batch)
  if replay.size < batch:
    yield f"replay.size={replay.size}: smaller than a batch, batch_prompts={batch}"
  if again == 0 or again % max(devices, 1):
    divided = "" if devices == 1 else f" that divide over {devices} devices"
    at_least = max(devices, 1) / max(batch, 1)
    yield (
      f"replay.share={replay.share:g}: {again} of batch_prompts={batch}, not one or more groups"
      f"{divided}; such as {at_least:g}"
    )


def _of_memory(config: ConfigDict) -> Iterator[str]:
  """Groups wait in the machine's memory from when they are drawn till they are trained on."""
  sampling, batch = config.sampling, max(config.batch_prompts, 1)
  steps = min(sampling.lag + sampling.sync_every, config.steps)
  waiting = max((steps - 1) * batch, config.replay.size if config.replay.share else 0)
  needed = waiting * config.group_size * sampling.max_tokens * A_TOKEN
  there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
  if needed > SHARE * there:
    yield (
      f"sampling.lag={sampling.lag}, sampling.sync_every={sampling.sync_every}, replay.size="
      f"{config.replay.size}: {needed / 2**30:,.0f} GiB of responses would wait, and the machine "
      f"has {there / 2**30:,.0f}"
    )
