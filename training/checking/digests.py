"""Digests: whether two runs are the same, and if not, by what they differ.

A run's digest is of its config's values and of what they name: the code of the loss, of the rewards
and of a task or an optimizer of one's own (`tasks.code.fingerprints`), the files of models, the
rows of data. config.json keeps a digest of each of these beside that of all, so that a refusal can
say which one changed.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from configs.config_values import flatten
from tasks.code import fingerprints
from training.checking import (
  loss_signatures,
  optimizer_section,
  own_functions,
  pretrained_model,
  text_tasks,
  validate_correction,
  validate_reward,
  validate_task,
)
from training.errors import UserError
from training.records.run_folder import RunFolder

# Settings that cannot change what a run computes (but for the last digits, on another mesh).
NOT_RESULTS = ("wandb", "require_accelerator", "mesh", "micro_batches", "checkpoint")
_EARLIER = "made by an earlier version of the code, whose digests cannot be compared with today's"


class Named(NamedTuple):
  """Something that a config names and that may change while the config stays as it is."""

  name: str  # "the loss `dpo`"
  file: str  # "algorithms/dpo.py", or "" where the name says where
  digest: str

  @property
  def spoken(self) -> str:
    return f"{self.name} ({self.file})" if self.file else self.name


def of_run(config: ConfigDict) -> dict[str, Any]:
  """For config.json: "digest", 8 hex digits of all that can change the results; and "digests"."""
  found = list(named(config))
  digest = _hash(_results(config.to_dict()), [one.digest for one in found])
  return {"digest": digest, "digests": {one.name: one.digest for one in found}}


def of_recipe(determines: Mapping[str, Any]) -> str:
  """8 hex digits of what determines a base policy, a data set or a reward model."""
  values, task = dict(determines), determines.get("task", {})
  if _is_own(task.get("name", "")):
    values["prompts"] = _fingerprint(task["name"])
  base = determines.get("base")  # of a data set or a reward model: its digest
  if isinstance(base, Mapping) and "demonstrations" in base:
    places = validate_task.behaviour_places(base["demonstrations"])
    values["demonstrations"] = _fingerprint(*places.values())
  if "reward" in task:
    values["reward"] = _fingerprint(*validate_reward.places(task["reward"]).values())
  if values.get("model", {}).get("pretrained"):
    values["weights"] = pretrained_model.fingerprint(values["model"]["pretrained"])
  return _hash(values)


def difference(about: Mapping[str, Any], config: ConfigDict) -> str:
  """How a run differs from one of `config`, to be read after "holds a run of".

  "another config (algorithm.beta 0.1 -> 0.2)", or "this config, made before the loss `dpo`
  (algorithms/dpo.py) changed".

  Args:
    about: the run's config.json.
  """
  fields, changed = _changed_fields(about["config"], config), changed_since(about, config)
  if fields:
    return f"another config ({'; '.join(fields[:4] + [f'{one} changed' for one in changed])})"
  return f"this config, {f'made before {_and(changed)} changed' if changed else _EARLIER}"


def changed_since(about: Mapping[str, Any], config: ConfigDict) -> list[str]:
  """The named things that hold something else now: ["the loss `dpo` (algorithms/dpo.py)"]."""
  kept = about.get("digests", {})
  return [one.spoken for one in named(config) if kept.get(one.name, one.digest) != one.digest]


def named(config: ConfigDict) -> Iterator[Named]:
  """All that the config names."""
  loss = config.algorithm.loss
  yield of_function("loss", loss, loss_signatures.place_of(loss))
  for reward, place in validate_reward.places(config.task.reward).items():
    yield of_function("reward", reward, place)
  for part, place in validate_correction.places(config.correction.weight).items():
    yield of_function("correction", part, place)
  if config.base.steps > 0 and not config.base.run:
    for behaviour, place in validate_task.behaviour_places(config.base.demonstrations).items():
      yield of_function("behaviour", behaviour, place)
  chosen = optimizer_section.chosen(config)
  kinds = {"task": config.task.name, "optimizer": chosen["name"], "schedule": chosen["schedule"]}
  for kind, name in kinds.items():
    if _is_own(name):
      yield of_function(kind, name, name)
  if model := config.model.pretrained:
    yield _of_pretrained(model)
  for where, fingerprint in text_tasks.fingerprints(config).items():
    yield Named(f"the rows of {where}", "", fingerprint[:16])
  if run := config.base.run:
    yield Named(f"the base policy's files (base.run={run!r})", "", _of_finished(run))
  if run := config.reference.run:
    yield Named(f"the teacher's files (reference.run={run!r})", "", _of_finished(run))
  if run := config.scoring.model:
    yield Named(f"the reward model's files (scoring.model={run!r})", "", _of_finished(run))


def check_pretrained(files: RunFolder) -> None:
  """UserError if the pretrained model that the run in this folder began from is another by now.

  Adapters would be laid over other weights, the KL be to another reference, and the tokens be those
  of another tokenizer.
  """
  about = files.read_config()
  model = about["config"]["model"].get("pretrained", "")
  if not model:
    return
  now = _of_pretrained(model)
  if about.get("digests", {}).get(now.name, now.digest) != now.digest:
    raise UserError(
      f"{files.path}: {now.name} have changed since it was trained; put back those "
      "that it began from"
    )


def _of_pretrained(model: str) -> Named:
  name = f"the pretrained model's files (model.pretrained={model!r})"
  return Named(name, "", pretrained_model.fingerprint(model)[:16])


def of_function(kind: str, name: str, place: str) -> Named:
  """The code of a function: of_function("loss", "dpo", "algorithms.dpo:dpo").

  Args:
    name: as the config has it; of one's own that is its place, "module:function", as well.
  """
  return Named(f"the {kind} `{name}`", fingerprints.file_of(place), _fingerprint(place))


def _is_own(name: str) -> bool:
  """Whether it is a "module:function" of somebody's own, and no name of our tables."""
  return ":" in name


def _fingerprint(*places: str) -> str:
  try:
    return fingerprints.of(*places)
  except SyntaxError as error:
    raise own_functions.not_python(error) from error


def _of_finished(run: str) -> str:
  """Of a finished run: trained again into the same folder, it is another."""
  about = RunFolder(run).read_config()
  return _hash(about.get("digest"), about.get("created"))


def _results(values: Mapping[str, Any]) -> dict[str, Any]:
  """The values that can change the results. Not data.dir: what lies there counts."""
  kept = {key: value for key, value in values.items() if key not in NOT_RESULTS}
  data = {key: value for key, value in kept.get("data", {}).items() if key != "dir"}
  return kept | {"data": data}


def _changed_fields(old: Mapping[str, Any], config: ConfigDict) -> list[str]:
  """["algorithm.beta 0.1 -> 0.2"]."""
  old, new = (flatten(_results(values)) for values in (old, config.to_dict()))
  # Another loss comes first: it explains the other hyperparameters.
  keys = sorted(old.keys() | new.keys(), key=lambda key: (key != "algorithm.loss", key))
  differ = [key for key in keys if json.dumps(old.get(key)) != json.dumps(new.get(key))]
  return [f"{key} {old.get(key, '(none)')} -> {new.get(key, '(none)')}" for key in differ]


def _and(words: list[str]) -> str:
  """["a", "b", "c"] -> "a, b and c"."""
  return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _hash(*values: Any) -> str:
  text = json.dumps(
    values[0] if len(values) == 1 else values, sort_keys=True, separators=(",", ":")
  )
  return hashlib.sha256(text.encode()).hexdigest()[:8]
