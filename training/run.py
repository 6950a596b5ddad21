"""One run, from its config to its last checkpoint."""

from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from training import base_policy, dataset, loop, memory, reward_model, setup
from training.annotate import words_of
from training.checking import text_tasks
from training.collect import Demonstrations, Online
from training.evaluation import PolicyJudge
from training.held_out_groups import ImpliedRewardJudge
from training.run_folder import RunFolder
from training.scoring import Scorer
from training.setup import Parts
from training.start import starting_state


def train(
  config: ConfigDict,
  folder: RunFolder,
  root: str,
  report: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
  """Trains what this config asks for, or goes on where the folder's last checkpoint left it.

  The base policy, the reward model and the data set of an offline run are found below `root` or
  made there first. `report` is called with every row of metrics. Returns the last value of each.
  """
  parts, words = Parts.of(config), words_of(config)
  memory.check(parts)
  folder.write_env(setup.device_line(), str(parts.task.tokenizer))
  folder.write_data(text_tasks.describe(config), text_tasks.bad_rows(config))
  base = base_policy.starting_params(config, parts, root, report)
  if "scores" in words:
    return reward_model.fit(parts, folder, base, root, report)

  judged_by, rollouts_before = None, 0
  if config.scoring.reward == "model":
    judge_folder = reward_model.ensure(config, root, report)
    judged_by = reward_model.params_of(judge_folder, parts, base)
    rollouts_before = judge_folder.read_metrics()[-1]["rollouts"]
  if config.source == "online":
    source = Online(parts, Scorer(parts, judged_by))
  elif config.source == "demonstrations":
    source = Demonstrations(parts)
  else:
    source = dataset.source_of(parts, base, root, report, judged_by)
  judge = PolicyJudge(parts, base, judged_by)
  held_out = text_tasks.held_out_groups(config)
  if held_out is not None:
    judge = ImpliedRewardJudge(parts, held_out, base, judge)
  return loop.train(
    parts,
    folder,
    starting_state(parts, base, judged_by),  # nobody else holds it: its buffers are used anew
    source,
    reference=base,
    report=report,
    judge=judge,
    rollouts_before=rollouts_before,
  )
