"""Lines about one run on a terminal: its latest numbers, how it ended, what to type next."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from training.checking import loss_signatures
from training.records.run_folder import RunFolder, headline_name


def numbers(config: ConfigDict, latest: Mapping[str, Any]) -> str:
  """ "eval 0.592 · train 0.379 · kl 0.280": always the same labels, each as wide as before."""
  metric = headline_name(latest)
  # A policy without rewards, or a reward model, has accuracies.
  shown = {"accuracy" if metric.endswith("accuracy") else "eval": metric}
  # The rewards of a data set, or of demonstrations, say nothing about the policy.
  shown |= {"train": "train/reward"} if config.source == "online" else {"loss": "train/loss"}
  if "scores" not in loss_signatures.words_of(config):
    shown["kl"] = "eval/kl"
  return " · ".join(f"{label} {_number(latest.get(name)):<6}" for label, name in shown.items())


def done(files: RunFolder, config: ConfigDict) -> str:
  """The result of a run that ended, against its base policy's, and the next commands, in lines."""
  latest = files.read_status().get("metrics", {})
  start, metric = next(files.each_metrics(), {}), headline_name(latest)
  words = ["done"]
  if metric:
    label = "sampled reward" if metric == "eval/reward_sampled" else "accuracy"
    words.append(f"{label} {latest[metric]:.3f}{_change(metric, start, latest)}")
  for label, name in (("greedy", "eval/reward"), ("kl", "eval/kl"), ("loss", "train/loss")):
    if latest.get(name) is not None and (label != "loss" or not metric):
      words.append(f"{label} {latest[name]:.3f}")
  words.append(f"{latest.get('rollouts', 0):,} rollouts")
  commands = [f"report {files.path}"]
  if "scores" not in loss_signatures.words_of(config):
    commands.insert(0, f"evaluate {files.path}")
  next_ones = [f"python -m experiments.{command}" for command in commands]
  return "  ".join(words) + "\nnext: " + "\n      ".join(next_ones)


def stopped(files: RunFolder) -> str:
  """ "stopped at 17: the same command goes on, from step 15"."""
  step, kept = files.read_status().get("step", 0), files.checkpoint_step
  where = "" if step == kept else f", from step {kept}" if kept else ", from the start"
  return f"stopped at {step}: the same command goes on{where}"


def _change(metric: str, start: Mapping[str, Any], latest: Mapping[str, Any]) -> str:
  """ " (Δ +0.049 to the base policy)"; "" where that was not evaluated, at step 0."""
  if start.get("step") != 0 or start.get(metric) is None:
    return ""
  return f" (Δ {latest[metric] - start[metric]:+.3f} to the base policy)"


def _number(value: float | None) -> str:
  return "—" if value is None else f"{value:.3f}"
