"""How many responses policies write for a run to learn from, from its config alone."""

from collections.abc import Mapping
from typing import Any

from training.checking import loss_signatures


def rollouts(config: Mapping[str, Any]) -> tuple[int, int]:
  """(least, most): dynamic sampling, and which prompts come again, decide between them.

  Args:
    config: its sections as dicts. Of demonstrations nothing is sampled.
  """
  if config["source"] == "demonstrations":
    return 0, 0
  steps, batch, k = config["steps"], config["batch_prompts"], config["group_size"]
  signature = loss_signatures.read(config["algorithm"]["loss"])
  asked = {*signature.arrays, *signature.optional_arrays}
  replayed = round(config["replay"]["share"] * batch)  # of all steps but the first
  prompts = steps * batch - (steps - 1) * replayed
  written = prompts * (k + ("greedy_rewards" in asked))
  least, most = written, written * (1 + config["sampling"]["refills"])
  if "reference_rewards" in asked:
    there, samples = config["task"]["train_prompts"], config["reference"]["samples"]
    with_new = min(steps, -(-there // batch)) if there else steps  # steps, of a first epoch
    always = replayed or not there  # which prompts come again is not known
    least += min(with_new * batch, prompts) * samples
    most += (prompts if always else with_new * batch) * samples
  return least, most
