"""One run put together, from its config to its last checkpoint."""

from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from models.partitioning import on_devices, on_host
from models.transformer import Params
from training import base_policy, loop, memory, offline_data, reward_model
from training.build import parts_of
from training.checking import text_summary, text_tasks
from training.devices import device_line
from training.evaluation import PolicyEvaluation
from training.parts import Parts
from training.ranking import ImpliedRewardEvaluation
from training.records.run_folder import RunFolder
from training.records.waiting import Waiting
from training.scoring import Scorer
from training.sources.aged import Aged
from training.sources.batch import Source
from training.sources.demonstrations import Demonstrations
from training.sources.online import Online
from training.sources.replay import Replay
from training.start import starting_state


def train(
  config: ConfigDict,
  folder: RunFolder,
  root: str,
  report: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
  """Trains this config, or goes on where the folder's last checkpoint left it.

  The base policy, the reward model and the data set of an offline run are found below `root` or
  made there first. `report` is called with every row of metrics. Returns the last value of each.
  """
  parts = parts_of(config)
  memory.check(parts)
  folder.write_env(device_line(), str(parts.task.tokenizer))
  folder.write_data(text_summary.describe(config), text_tasks.bad_rows(config))
  base = base_policy.starting_params(config, parts, root, report)
  if "scores" in parts.loss.words:
    return reward_model.fit(parts, folder, base, root, report)

  reward_params, rollouts_before = None, 0
  if config.scoring.reward == "model":
    trained = reward_model.ensure(config, root, report)
    reward_params = reward_model.params_of(trained, parts, base, root, report)
    rollouts_before = trained.read_metrics()[-1]["rollouts"]
  source = None
  if config.source == "offline":  # while the base policy, which may write it, is on the devices
    source = offline_data.source_of(parts, base, root, report, reward_params)
  reference = base_policy.reference_params(config, parts, base, root, report)
  if config.reference.memory == "host":
    base, reference = on_host(base), on_host(reference)
  if config.source == "demonstrations":
    source = Demonstrations(parts)
  source = source or _online(parts, Scorer(parts, reward_params), folder, reference)
  evaluation = PolicyEvaluation(parts, base, reward_params)
  held_out = text_tasks.held_out_groups(config)
  if held_out is not None:
    evaluation = ImpliedRewardEvaluation(parts, held_out, reference, evaluation)
  return loop.train(
    parts,
    folder,
    # Nobody else holds it: its buffers are used anew.
    starting_state(parts, on_devices(base), reward_params),
    source,
    reference=reference,
    report=report,
    evaluation=evaluation,
    rollouts_before=rollouts_before,
  )


def _online(parts: Parts, scorer: Scorer, folder: RunFolder, reference: Params) -> Source:
  """Responses of the policy, or of older ones, or some that it was trained on before."""
  config = parts.config
  source = Online(parts, scorer, reference, Waiting(folder, "reference"))
  if config.sampling.lag or config.sampling.sync_every > 1:
    source = Aged(config, source, Waiting(folder, "waiting"))
  if config.replay.share:
    source = Replay(config, parts.mesh, source, Waiting(folder, "replay"))
  return source
