"""The spelling of config.correction.weight, and whether a run has what it needs.

  "truncate(token, 2) * mask(geometric, 0.99, 1.01) * veto(1e-4)"

is a product of the parts in algorithms/mismatch.py, each with its keyword-only arguments in their
order (or as name=value). They, their choices and their ranges are read from the source there.
"""

import ast
import functools
import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from tasks.slips import choose, did_you_mean, nearest
from training.checking import loss_signatures, own_functions
from training.checking.loss_signatures import LossSignature
from training.errors import UserError

_MODULE = "algorithms.mismatch"
_EXAMPLE = "write it like truncate(token, 2) * veto(1e-4)"
_FACTOR = re.compile(r"\s*([A-Za-z_]\w*)\s*\(([^()]*)\)\s*")


class Part(NamedTuple):
  """A factor of the weight: its options that are texts, and its numbers."""

  name: str
  options: dict[str, str]
  numbers: dict[str, float]


def parse(text: str) -> tuple[Part, ...]:
  """The parts that `text` spells, () of an empty one. UserError where it cannot be read."""
  parts = []
  for factor in text.split("*") if text.strip() else ():
    found = _FACTOR.fullmatch(factor)
    if not found:
      raise UserError(f"cannot read {factor.strip() or text!r}: {_EXAMPLE}")
    parts.append(_part(*found.groups()))
  return tuple(parts)


def problems(config: ConfigDict) -> Iterator[str]:
  """Problems of config.correction, a line each."""
  correction = config.correction
  try:
    parts = parse(correction.weight)
  except UserError as error:
    yield f"correction.weight={correction.weight!r}: {error}"
    return
  if parts:
    yield from _of_loss(config, parts, loss_signatures.read(config.algorithm.loss))
    yield from _of_source(config)
  elif correction.anchor == "sampler":
    yield "correction.anchor='sampler': there is no correction.weight that it is of"


def places(text: str) -> dict[str, str]:
  """Name -> "module:function" of the parts in a weight that can be read."""
  return {part.name: f"{_MODULE}:{_functions()[part.name]}" for part in parse(text)}


def _of_loss(
  config: ConfigDict, parts: tuple[Part, ...], signature: LossSignature
) -> Iterator[str]:
  words, name = {*signature.arrays, *signature.optional_arrays}, signature.name
  if "logps" not in words:
    yield f"correction.weight: is of the gradient in logps, and {name} has none"
  elif "sampler_logps" in words:
    yield f"correction.weight: {name} corrects for the sampler itself; leave one of them out"
  elif config.correction.anchor == "sampler" and "old_logps" in words:
    if any(part.name == "truncate" for part in parts):
      yield (
        f"correction.weight: truncate would count pi / mu twice, as {name}'s own ratio is that "
        "with correction.anchor='sampler'; take anchor='recomputed', or masks and veto alone"
      )


def _of_source(config: ConfigDict) -> Iterator[str]:
  """Are the log-probs of the policy that drew the responses there?"""
  source, sampling = config.source, config.sampling
  if source == "demonstrations":
    yield "correction.weight: no policy drew the demonstrations, so there is nothing to correct for"
  restricted = [f"sampling.top_k={sampling.top_k}"] * (sampling.top_k > 0)
  restricted += [f"sampling.top_p={sampling.top_p:g}"] * (sampling.top_p < 1)
  if source in ("offline", "rounds") and restricted:
    yield (
      f"correction.weight: a data set keeps the log-probs of the whole distribution, not of what "
      f"{restricted[0]} draws; only source='online' has those"
    )


# --- a part -------------------------------------------------------------------------------------


@functools.cache
def _functions() -> dict[str, str]:
  """{"truncate": "truncate", ...}: the names in PARTS, and the functions they stand for."""
  tree = own_functions.module_tree(_MODULE)
  for node in tree.body if tree else ():
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PARTS":
      assert isinstance(node.value, ast.Dict)
      pairs = zip(node.value.keys, node.value.values, strict=True)
      return {ast.literal_eval(key): ast.unparse(value) for key, value in pairs if key}
  raise AssertionError(f"{_MODULE} has no PARTS")


@functools.cache
def _limits(name: str) -> dict[str, Any]:
  """The arguments of a part in their order: a Range, or a tuple of choices."""
  signature, _ = own_functions.signature(_MODULE, _functions()[name])
  keywords = [p.name for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY]
  return loss_signatures.limits(_MODULE, signature, keywords)


def _part(name: str, text: str) -> Part:
  if name not in _functions():
    listed = ", ".join(map(_call, _functions()))
    raise UserError(
      f"no part {name!r}; there are {listed}.{did_you_mean(nearest(name, _functions()))}"
    )
  limits, given = _limits(name), {}
  for position, argument in enumerate(text.split(",")):
    key, equals, value = argument.rpartition("=")
    key = key.strip() if equals else [*limits, ""][min(position, len(limits))]
    if key not in limits or key in given or not value.strip():
      raise UserError(f"{name}({text}) is not {_call(name)}")
    given[key] = value.strip()
  if given.keys() != limits.keys():
    raise UserError(f"{name}({text}) is not {_call(name)}")
  options = {key: value for key, value in given.items() if isinstance(limits[key], tuple)}
  for key, value in options.items():
    if value not in limits[key]:
      raise UserError(choose(f"{name}'s {key}", value, limits[key]))
  numbers = {key: _number(name, key, given[key]) for key in given if key not in options}
  for key, value in numbers.items():
    if problem := limits[key].problem(f"{name}'s {key}", value):
      raise UserError(problem)
  if "low" in numbers and not numbers["low"] < numbers["high"]:
    raise UserError(f"{name}({text}): keeps nothing, as low is not below high")
  return Part(name, options, numbers)


def _call(name: str) -> str:
  """ "truncate(token|sequence, cap)"."""
  arguments = ("|".join(x) if isinstance(x, tuple) else key for key, x in _limits(name).items())
  return f"{name}({', '.join(arguments)})"


def _number(name: str, key: str, text: str) -> float:
  try:
    value = float(text)
  except ValueError:
    raise UserError(f"{name}'s {key}={text!r}: is no number") from None
  if not math.isfinite(value):
    raise UserError(f"{name}'s {key}={text}: must be a finite number")
  return value
