"""The plan of a sweep: its runs, worked out and checked before anything runs.

An item of a sweep file is {"config": "configs/grpo.py:k=8", "algorithm.beta": 0.1, "seed": 3}: a
config file and overrides, like an `experiments.train` command line. A "name" names the variant.
"""

import collections
import dataclasses
import json
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from configs.config_values import flatten
from configs.hyper import product, sweep
from tasks.code import fingerprints
from training.checking import budget, config_files, digests, longer, pretrained_model, validate
from training.errors import UserError
from training.records import run_names
from training.records.run_folder import RunFolder

Item = Mapping[str, Any]
Swept = Mapping[str, Sequence[Any]]  # field -> its values

# The fields in which runs of one variant may differ: seeds, and results of runs of the same seed.
PER_SEED = (
  *("seed", "base.seed", "reward_model.seed"),
  *("base.run", "reference.run", "scoring.model", "offline.dataset"),
)


@dataclasses.dataclass(frozen=True)
class PlannedRun:
  """One run: `variant` is its name without the seed, `state` as RunFolder.state."""

  sweep: str
  name: str
  variant: str
  config_file: str
  overrides: dict[str, Any]
  config: dict[str, Any]
  digest: str
  digests: dict[str, str]  # of all that the config names
  folder: RunFolder
  state: str
  is_named: bool  # by its item

  @property
  def rollouts(self) -> int:
    """The number of responses that policies write for it: none for demonstrations."""
    return budget.rollouts(self.config)[0]

  @property
  def most_rollouts(self) -> int:
    """The number of rollouts if dynamic sampling always draws as often as it may."""
    return budget.rollouts(self.config)[1]

  @property
  def command(self) -> str:
    words = ["python", "-m", "experiments.train", f"--config={self.config_file}"]
    words += [f"--config.{key}={value}" for key, value in self.overrides.items()]
    return shlex.join([*words, f"--group={self.sweep}", f"--out={self.folder.path}"])


@dataclasses.dataclass(frozen=True)
class Plan:
  """The runs of a sweep file in its order; `repeats` names runs that later items repeat."""

  name: str
  file: str
  folder: str
  common: dict[str, Any]  # overrides of every run, from the command line
  runs: list[PlannedRun]
  repeats: list[str]


def make(
  file: str,
  common: Mapping[str, Any],
  out: str = "",
  swept: Swept | None = None,
  tuned: Mapping[str, Mapping[str, Any]] | None = None,
) -> Plan:
  """Plans a sweep; raises UserError with the problems of all its items.

  Args:
    file: a sweep's; or, with `swept`, a config's.
    swept: fields with several values each; every combination is an item.
    tuned: overrides by variant, which count before those of the file.
  """
  if swept:
    items = product(sweep(key, values) for key, values in swept.items())
    items = [{"config": file} | item for item in items]
    name = _name_of(file, common, swept)
  else:
    items = config_files.load_sweep(file)
    name = os.path.splitext(os.path.basename(file.partition(":")[0]))[0]
  folder = out or os.path.join("runs", name)
  items = [dict(item) | dict(common) for item in items]
  variants = _variants(items)
  if tuned:
    items = [item | dict(tuned.get(name, {})) for item, name in zip(items, variants, strict=True)]
    _refuse_tuned_names(file, variants, _variants(items))
  runs: dict[str, PlannedRun] = {}
  repeats: list[str] = []
  with fingerprints.each_once():
    configs = _resolve(file, items)
    for item, variant, config in zip(items, variants, configs, strict=True):
      planned = _planned(
        config,
        folder,
        variant,
        longer.state_of,
        sweep=name,
        config_file=item["config"],
        overrides=_overrides(item),
        is_named="name" in item,
      )
      if runs.setdefault(planned.digest, planned) is not planned:
        repeats.append(runs[planned.digest].name)
  _refuse_shared_names(file, list(runs.values()))
  _refuse_mixed_variants(file, list(runs.values()))
  return Plan(name, file, folder, dict(common), list(runs.values()), repeats)


def named_configs(file: str) -> dict[str, ConfigDict]:
  """Run -> its config, of a sweep file, neither checked nor looked for."""
  items = [dict(item) for item in config_files.load_sweep(file)]
  configs = [config_files.load(item["config"], _overrides(item)) for item in items]
  runs = zip(_variants(items), configs, strict=True)
  return {_run_name(variant, config): config for variant, config in runs}


def _run_name(variant: str, config: ConfigDict) -> str:
  return f"{run_names.file_name(variant)}-s{config.seed}"


def resolve(config_file: str, overrides: Mapping[str, Any]) -> ConfigDict:
  """The config of one run, checked. UserError with its problems."""
  config = config_files.load(config_file, overrides)
  validate.check(config)
  pretrained_model.fill(config)
  return config


def with_values(
  run: PlannedRun, values: Mapping[str, Any], sweep: str, variant: str, folder: str
) -> PlannedRun:
  """The run of another sweep, in its `folder`, that is this one but for the values."""
  overrides = run.overrides | dict(values)
  config = resolve(run.config_file, overrides)
  return _planned(
    config,
    folder,
    variant,
    lambda files, _, digest: files.state(digest),  # a trial with other steps is another trial
    sweep=sweep,
    config_file=run.config_file,
    overrides=overrides,
    is_named=True,
  )


def _planned(
  config: ConfigDict,
  folder: str,
  variant: str,
  state_of: Callable[[RunFolder, ConfigDict, str], str],
  **about: Any,
) -> PlannedRun:
  """The run of this config in the sweep's folder; `about` are the other fields."""
  of_run = digests.of_run(config)
  files = RunFolder(os.path.join(folder, _run_name(variant, config)))
  return PlannedRun(
    name=files.name,
    variant=variant,
    config=config.to_dict(),
    **of_run,
    folder=files,
    state=state_of(files, config, of_run["digest"]),
    **about,
  )


def _name_of(file: str, common: Mapping[str, Any], swept: Swept) -> str:
  """ "grpo-k8-sweep-lr": the fields and not their values, so that more of them join the sweep."""
  fields = [run_names.short_field(key) for key in swept if key != "seed"] or ["seed"]
  settings = {key: value for key, value in common.items() if not key.startswith("wandb.")}
  base = run_names.variant_name(file, settings)
  return run_names.file_name("-".join([base, "sweep", *fields]))


def refuse_changed(runs: Sequence[PlannedRun]) -> None:
  """Raises UserError, naming them, if folders hold runs of other configs."""
  problems = []
  for run in runs:
    if run.state == "changed":
      config = ConfigDict(run.config)
      differs = digests.difference(run.folder.read_config(), config)
      problems.append(f"{run.folder.path} holds a run of {differs}")
      problems += filter(None, [longer.advice(run.folder, config).strip()])
  if problems:
    problems.append("give the sweep another --out, or delete that folder")
    raise UserError("\n".join(problems))


def refuse_running(runs: Sequence[PlannedRun]) -> None:
  """Raises UserError, naming them, if processes are training some of the runs."""
  problems = []
  for run in runs:
    if run.state == "running":
      pid = run.folder.read_status()["pid"]
      problems.append(f"{run.folder.path} is being trained by process {pid}; wait, or stop it")
  if problems:
    raise UserError("\n".join(problems))


def differing(runs: Sequence[PlannedRun]) -> list[str]:
  """Returns the overridden fields whose values differ among the runs, "seed" excepted."""
  flat = [flatten(run.config) for run in runs]
  keys = dict.fromkeys(key for run in runs for key in run.overrides if key != "seed")
  return [key for key in keys if len({json.dumps(config.get(key)) for config in flat}) > 1]


def _resolve(file: str, items: Sequence[Item]) -> list[Any]:
  """Returns the items' ConfigDicts; raises one UserError with all problems, equal ones once."""
  configs, problems = [], collections.defaultdict(list)
  for index, item in enumerate(items):
    try:
      configs.append(resolve(item["config"], _overrides(item)))
    except UserError as error:
      problems[str(error)].append(index)
  if problems:
    count = sum(len(indices) for indices in problems.values())
    lines = [f"{_which(indices)}: {problem}" for problem, indices in problems.items()]
    headline = f"{file}: {count} of {len(items)} items have problems; nothing was run"
    raise UserError("\n".join([headline, *lines]))
  return configs


def _which(indices: Sequence[int]) -> str:
  """[0, 1, 2, 7] -> "items 0, 1, 2 and 1 more"."""
  shown = "items " if indices[1:] else "item "
  shown += ", ".join(map(str, indices[:3]))
  return shown + (f" and {len(indices) - 3} more" if indices[3:] else "")


def _overrides(item: Item) -> dict[str, Any]:
  return {key: value for key, value in item.items() if key not in ("config", "name")}


def _variants(items: Sequence[Item]) -> list[str]:
  """Names the items without their seeds, by the fields that tell items of a config file apart."""
  by_file = collections.defaultdict(list)
  for item in items:
    if "name" not in item:
      by_file[run_names.variant_name(item["config"], {})].append(_overrides(item))
  telling = {file: _telling_keys(overrides) for file, overrides in by_file.items()}

  def variant(item: Item) -> str:
    if "name" in item:
      return item["name"]
    keys = telling[run_names.variant_name(item["config"], {})]
    return run_names.variant_name(item["config"], {key: item[key] for key in keys if key in item})

  return [variant(item) for item in items]


def _telling_keys(overrides: Sequence[Item]) -> list[str]:
  """Returns keys, in order, each of which tells apart items that those before it do not."""

  def kinds(keys: list[str]) -> int:
    return len({json.dumps([item.get(key) for key in keys], default=str) for item in overrides})

  telling: list[str] = []
  for key in dict.fromkeys(key for item in overrides for key in item if key != "seed"):
    if kinds([*telling, key]) > kinds(telling):
      telling.append(key)
  return telling


def _refuse_tuned_names(file: str, names: Sequence[str], tuned: Sequence[str]) -> None:
  """UserError if the tuned values would rename a variant: its name says what they replace."""
  for name, other in zip(names, tuned, strict=True):
    if name != other:
      raise UserError(
        f"{file}: {name} would be {other}: what tells the variants apart cannot be tuned; "
        'give the items a "name" each'
      )


def _refuse_shared_names(file: str, runs: Sequence[PlannedRun]) -> None:
  counts = collections.Counter(run.name for run in runs)
  shared = [name for name, count in counts.items() if count > 1]
  if shared:
    raise UserError(
      f"{file}: different configs would share the name {', '.join(shared)}; nothing was run\n"
      f'give their items a "name" each, e.g. {{"name": "my-dpo", "config": ...}}'
    )


def _refuse_mixed_variants(file: str, runs: Sequence[PlannedRun]) -> None:
  """Raises UserError if runs of one name differ in more than seeds: their mean means nothing."""
  first: dict[str, dict[str, Any]] = {}
  for run in runs:
    config = flatten(run.config)
    other = first.setdefault(run.variant, config)
    differing = [key for key in config if config[key] != other.get(key) and key not in PER_SEED]
    if differing:
      raise UserError(
        f"{file}: the runs named {run.variant} differ in {', '.join(differing)}; nothing was run\n"
        "A name stands for runs that differ in their seeds alone: their mean is shown under it"
      )
