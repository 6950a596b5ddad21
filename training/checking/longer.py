"""More steps for a run that is there: when that makes the run which had them from the start.

Everything random is a function of the seed and the step, so a run of 10 steps goes on to 20 with
the bits of one of 20, unless something in it depends on how many steps there are.
"""

from ml_collections import ConfigDict

from training.checking import digests, task_signatures
from training.records.run_folder import RunFolder


def state_of(files: RunFolder, config: ConfigDict, digest: str) -> str:
  """The state that a launch of `config` would find, as RunFolder.state has it.

  A run with fewer steps, that differs in nothing else and may go on, is to be resumed.

  Args:
    digest: of the config.
  """
  state = files.state(digest)
  fewer = _with_fewer_steps(files, config) if state == "changed" else None
  if fewer is None or why_not(fewer):
    return state
  state = files.state(files.read_config()["digest"])
  return "resume" if state == "finished" else state


def advice(files: RunFolder, config: ConfigDict) -> str:
  """Says why a run that has fewer steps than this config, and differs in no more, cannot go on.

  "" where it differs in more.
  """
  fewer = _with_fewer_steps(files, config)
  return f"It cannot go on from step {fewer.steps}: {why_not(fewer)}. " if fewer else ""


def why_not(config: ConfigDict) -> str:
  """Why a run of this config, with more steps, would not be one that had them all along; or ""."""
  if config.optimizer.schedule != "constant":
    return (
      f"with optimizer.schedule={config.optimizer.schedule!r} the learning rate of every step "
      "depends on their number (with 'constant' it does not)"
    )
  if "steps" in config.optimizer:
    return f"optimizer.name={config.optimizer.name!r} reads their number"
  if config.sampling.refills:
    return "sampling.refills takes the prompts of steps after the last"
  if config.sampling.lag or config.sampling.sync_every > 1:
    return "what later steps train on was written by policies that are gone"
  if config.source == "offline" and not config.offline.dataset:
    has_rows = task_signatures.of(config).is_scored
    return "" if has_rows else "its data set was collected for that many steps"
  return ""


def _with_fewer_steps(files: RunFolder, config: ConfigDict) -> ConfigDict | None:
  """The config with the steps of the run that is there, if that is this run and they are fewer."""
  about = files.read_config()
  steps = about.get("config", {}).get("steps", config.steps)
  if steps >= config.steps:
    return None
  fewer = config.copy_and_resolve_references()
  with fewer.unlocked():
    fewer.steps = steps
  return fewer if digests.of_run(fewer)["digest"] == about["digest"] else None
