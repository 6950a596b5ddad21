"""Writes a run's policy as a Hugging Face folder, which `transformers` and model.pretrained load.

python -m experiments.export runs/grpo-s0 exported               the latest checkpoint
python -m experiments.export runs/grpo-s0 exported --best        the one that evaluation found best

Adapters are merged into the weights. A run that began from a Hugging Face folder has its tokenizer,
chat template and generation_config.json copied along.
"""

import os
import sys
from collections.abc import Sequence
from functools import partial

from ml_collections import ConfigDict

from experiments.command_line import cli
from tasks.visible_text import visible
from training.checking import config_files, digests, loss_signatures, pretrained_model
from training.errors import UserError
from training.records.run_folder import RunFolder, headline

ROOT = "runs"


def main(argv: Sequence[str]) -> int:
  parser = cli.positional("export", __doc__)
  parser.add_argument("run", help="the run's folder")
  parser.add_argument("out", help="the folder to write; it must be new, or empty")
  parser.add_argument("--step", type=int, help="the checkpoint of this step")
  parser.add_argument(
    "--best", action="store_true", help="the checkpoint with the best eval/reward_sampled"
  )
  parser.add_argument("--dry_run", action="store_true", help="say what would be written")
  arguments = parser.parse_args(argv)
  try:
    folder, step = RunFolder(arguments.run), arguments.step
    config = config_of(folder)
    digests.check_pretrained(folder)
    step = chosen_step(folder, step, arguments.best)
    check_out(arguments.out)
    source = pretrained_model.files(config.model.pretrained).path if config.model.pretrained else ""
    print(f"{folder.path} step {step} -> {arguments.out}")
    print(f"tokenizer: {tokenizer_note(source)}")
    if not arguments.dry_run:
      export(folder, config, step, arguments.out, source)
  except UserError as error:
    print(visible(f"error: {error}"), file=sys.stderr)
    return 2
  return 0


def config_of(folder: RunFolder) -> ConfigDict:
  """The run's config. UserError when there is no run, or it trained no policy."""
  about = folder.read_config()
  if not about:
    raise UserError(f"{folder.path} is no run's folder (it would hold config.json)")
  config = config_files.of_record(about["config"])
  if "scores" in loss_signatures.read(config.algorithm.loss).arrays:
    raise UserError(f"{folder.path} is a reward model: transformers has no such model to load")
  return config


def chosen_step(folder: RunFolder, step: int | None, best: bool) -> int:
  """The step whose checkpoint is meant. UserError when it has none, naming those there are."""
  steps = folder.checkpoint_steps
  if best and step is not None:
    raise UserError("--best and --step: give one of them")
  if not steps or step not in (None, *steps):
    there = ", ".join(map(str, steps)) or "none yet"
    raise UserError(f"{folder.path}: no checkpoint {step or ''}".rstrip() + f"; there: {there}")
  scores = {row["step"]: headline(row) for row in folder.read_metrics()}
  scored = [(scores[s], s) for s in steps if scores.get(s) is not None]
  if best and not scored:
    raise UserError(f"{folder.path}: no checkpoint with an evaluation; there: {steps}")
  return max(scored)[1] if best else steps[-1] if step is None else step


def check_out(out: str) -> None:
  """UserError if something is there."""
  if os.path.exists(out) and (not os.path.isdir(out) or os.listdir(out)):
    raise UserError(f"{out}: not empty; nothing was written. Name a new folder")


def tokenizer_note(source: str) -> str:
  """Says where the tokenizer comes from, of a run that began from the files at `source`, if any."""
  if not source:
    return (
      "none. This model reads one token a character, for which there are no "
      "Hugging Face files; config.json says which tokens end and pad"
    )
  if not os.path.isdir(source):
    return f"none. It is inside {source}; copy the original model's tokenizer files"
  return f"copied from {source}"


def export(folder: RunFolder, config: ConfigDict, step: int, out: str, source: str) -> None:
  """Loads the checkpoint and writes the folder; imports jax."""
  from models.pretrained import exporting
  from models.pretrained.stored_tensors import CheckpointError
  from tasks.rewards.reward import Reward
  from tasks.task import Task
  from tasks.tokenizers.tokenizer import CharTokenizer
  from training import base_policy
  from training.build import put_together
  from training.records.checkpoints import loaded
  from training.start import starting_state

  config.mesh.update(data=1, fsdp=1, tensor=1)  # whatever the run was trained on
  tokenizer = pretrained_model.tokenizer_of(config) or CharTokenizer()
  task = Task(config.task.name, train=(), evaluation=(), reward=Reward(), tokenizer=tokenizer)
  parts = put_together(config, task)
  if parts.model.lora_rank:  # the checkpoint holds the adapters alone
    base = base_policy.folder_of(config, ROOT)
    if config.base.steps and base.read_status().get("state") != "finished":
      raise UserError(f"{base.path}: the base policy under the adapters is not there")
    start = base_policy.starting_params(config, parts, ROOT, lambda row: None)
  else:
    start = base_policy.shapes_of(parts)
  state = loaded(folder, partial(starting_state, parts), start, parts.mesh, step)
  tokens = {"eos_ids": tokenizer.eos_ids, "bos_id": None, "pad_id": tokenizer.pad_id}
  try:
    exporting.export(state.params, parts.model, out, source or None, tokens)
  except CheckpointError as error:
    raise UserError(str(error)) from None


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
