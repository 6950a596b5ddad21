"""The space of a tune: the fields that are searched for each variant, and over what.

A sweep file says it beside get_sweep():

  def get_tuning():
    return {
      "optimizer.learning_rate": log_uniform(5e-5, 1e-3),
      "dpo-*": {"algorithm.beta": [0.03, 0.1, 0.3]},     # for the variants of that name alone
    }

and the command line adds to it: --tune.optimizer.learning_rate=5e-5..1e-3:log, or =1e-4,2e-4,4e-4.
"""

import collections
import fnmatch
import json
from collections.abc import Mapping, Sequence
from typing import Any

from configs import config_values
from configs.config_values import flatten
from configs.hyper import Interval
from experiments.sweeping import plan
from experiments.sweeping.plan import PlannedRun
from experiments.tuning.search import Domain
from tasks.slips import choose, did_you_mean
from training.checking import config_modules, field_names
from training.errors import UserError

Space = dict[str, dict[str, Domain]]  # variant -> field -> domain
_EXAMPLE = "--tune.optimizer.learning_rate=5e-5..1e-3:log"


def of(file: str, typed: Mapping[str, Any], variants: Mapping[str, PlannedRun]) -> Space:
  """The fields and domains of each variant, of which it has a planned run here.

  A field named for all is tuned for the variants that have it. What is typed counts for all that
  have it, and before the file. UserError with everything that is wrong.
  """
  common, alone = _read(file, variants)
  typed_domains = {field: _typed(field, text) for field, text in typed.items()}
  if not (common or alone or typed):
    raise UserError(f"{file} has no get_tuning(): name a field to tune, e.g. {_EXAMPLE}")
  space: Space = {}
  for name, run in variants.items():
    has = flatten(run.config)
    wanted = common | alone.get(name, {}) | typed_domains
    known = {field: domain for field, domain in wanted.items() if field in has}
    space[name] = {field: _suited(domain, has[field]) for field, domain in known.items()}
  _refuse_unknown(file, common | typed_domains, alone, variants)
  _refuse_values(file, space, variants)
  idle = [name for name, domains in space.items() if not domains]
  if idle:
    raise UserError(f"{file}: nothing is tuned for {', '.join(idle)}; --only=TEXT leaves them out")
  return space


def _suited(domain: Domain, value: Any) -> Domain:
  """The range of a field that has a float now is not one of whole numbers: interval(0, 1)."""
  if isinstance(domain, Interval) and isinstance(value, float):
    return Interval(float(domain.low), float(domain.high), domain.log)
  return domain


def of_file(file: str, variants: Mapping[str, PlannedRun]) -> Space:
  """As the file has it now; {} for a file without get_tuning()."""
  common, alone = _read(file, variants)
  if not (common or alone):
    return {}
  return {
    name: {f: d for f, d in common.items() if f in flatten(run.config)} | alone.get(name, {})
    for name, run in variants.items()
  }


def as_json(domain: Domain) -> Any:
  """{"low": 5e-05, "high": 0.001, "log": true}, or the list."""
  if isinstance(domain, Interval):
    return {"low": domain.low, "high": domain.high, "log": domain.log}
  return list(domain)


def spoken(domain: Any) -> str:
  """A domain, or what as_json made of it, as one would type it: "5e-05..0.001:log"."""
  found = as_json(domain) if isinstance(domain, Interval) else domain
  if isinstance(found, Mapping):
    return f"{found['low']:g}..{found['high']:g}{':log' if found['log'] else ''}"
  return ",".join(f"{value:g}" if isinstance(value, float) else str(value) for value in found)


def _read(
  file: str, variants: Mapping[str, PlannedRun]
) -> tuple[dict[str, Domain], dict[str, dict[str, Domain]]]:
  """The file's domains for all, and those for single variants."""
  module, _ = config_modules.run(file, "get_sweep", "get_hyper")
  if not hasattr(module, "get_tuning"):
    return {}, {}
  given = config_modules.call(file, module.get_tuning)
  if not isinstance(given, Mapping):
    raise UserError(f"{file}: get_tuning() returned {type(given).__name__}, not a dict")
  common: dict[str, Domain] = {}
  alone: dict[str, dict[str, Domain]] = collections.defaultdict(dict)
  for key, value in given.items():
    if not isinstance(value, Mapping):
      common[key.removeprefix("config.")] = _domain(f"{file}: {key}", value)
      continue
    names = fnmatch.filter(variants, key)
    if not names:
      raise UserError(f"{file}: get_tuning() has {choose('variant', key, variants)}")
    for field, domain in value.items():
      for name in names:
        alone[name][field.removeprefix("config.")] = _domain(f"{file}: {key}: {field}", domain)
  return common, dict(alone)


def _domain(where: str, given: Any) -> Domain:
  if isinstance(given, Interval):
    return given
  if isinstance(given, str) or not isinstance(given, Sequence) or len(given) < 2:
    raise UserError(f"{where} is {given!r}: log_uniform(low, high), interval(low, high), or a list")
  if len({json.dumps(value) for value in given}) < len(given):
    raise UserError(f"{where} has a value twice: {list(given)}")
  return list(given)


def _typed(field: str, text: Any) -> Domain:
  """ "5e-5..1e-3:log", "0.1..0.5" or "1e-4,2e-4" as a domain."""
  where = f"--tune.{field}={text}"
  low, dots, high = str(text).partition("..")
  high, colon, kind = high.partition(":")
  if not dots:
    values = [config_values.spelled(part) for part in str(text).split(",")]
    if len(values) < 2:
      raise UserError(f"{where}: a range such as {_EXAMPLE}, or values such as 1e-4,2e-4,4e-4")
    return _domain(where, values)
  ends = [config_values.spelled(end) for end in (low, high)]
  if not all(map(config_values.is_number, ends)) or (colon and kind != "log"):
    raise UserError(f"{where}: a range is LOW..HIGH, or LOW..HIGH:log")
  try:
    return Interval(*ends, log=bool(colon))
  except ValueError as error:
    raise UserError(f"{where}: {error}") from None


def _refuse_unknown(
  file: str,
  common: Mapping[str, Domain],
  alone: Mapping[str, Mapping[str, Domain]],
  variants: Mapping[str, PlannedRun],
) -> None:
  """UserError for fields that no variant has, or not the one that they are named for."""
  fields = {name: flatten(run.config) for name, run in variants.items()}
  anywhere = {field: None for found in fields.values() for field in found}
  problems = [
    f"{file}: no variant has a field {field!r} to tune.{_hint(field, anywhere)}"
    for field in common
    if field not in anywhere
  ]
  problems += [
    f"{file}: {name} has no field {field!r} to tune.{_hint(field, fields[name])}"
    for name, domains in alone.items()
    for field in domains
    if field not in fields[name]
  ]
  seeds = {*common, *(field for domains in alone.values() for field in domains)} & {*plan.PER_SEED}
  problems += [f"{field} is no field to tune: a variant's runs differ in it" for field in seeds]
  if problems:
    raise UserError("\n".join(problems))


def _hint(field: str, fields: Mapping[str, Any]) -> str:
  return did_you_mean(field_names.nearest_to(field, fields))


def _refuse_values(file: str, space: Space, variants: Mapping[str, PlannedRun]) -> None:
  """UserError unless both ends of every range, and every value of every list, make a config."""
  problems: dict[str, None] = {}
  for name, domains in space.items():
    for field, domain in domains.items():
      ends = (domain.low, domain.high) if isinstance(domain, Interval) else domain
      for value in ends:
        try:
          plan.resolve(variants[name].config_file, variants[name].overrides | {field: value})
        except UserError as error:
          problems[f"{file}: {name} with {field}={value}: {error}"] = None
  if problems:
    raise UserError("\n".join(problems))
