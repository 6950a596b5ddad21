"""A loss's arrays and hyperparameters, read from its source: checking a config imports no jax.

A loss is a name of algorithms.LOSSES, or "module.path:function" for one of your own. Its
positional arguments are arrays of the vocabulary in algorithms/shapes.py (optional: `= None`). Its
keyword-only ones are the hyperparameters: with their defaults and types they are the config's
`algorithm` section, and the types say what they may be (`hyperparameter_limits`).
"""

import ast
import dataclasses
import functools
import inspect
import os
import re
import textwrap
from collections.abc import Callable, Iterable
from typing import Any

from ml_collections import ConfigDict

from tasks.code import files
from tasks.slips import did_you_mean, nearest, nearest_function
from training.checking import config_modules, hyperparameter_limits, own_functions
from training.errors import UserError

_LISTED = "The losses are listed in algorithms/__init__.py, with their equations in docs/losses.md."


@dataclasses.dataclass(frozen=True)
class LossSignature:
  """`comments` are the hyperparameters' lines of the docstring's Args.

  `limits` has a Range or a tuple of choices for those hyperparameters whose type has one.
  """

  name: str
  module: str
  function: str
  arrays: tuple[str, ...]
  optional_arrays: tuple[str, ...]
  hyperparameters: dict[str, Any]
  comments: dict[str, str]
  limits: dict[str, Any]

  def load(self) -> Callable:
    """The loss itself; raises UserError if its module cannot be imported."""
    return own_functions.load(self.module, self.function)


def names() -> list[str]:
  """The names of algorithms.LOSSES, in their order."""
  return list(_table())


def read(name: str) -> LossSignature:
  """The signature of a loss; raises UserError if there is none, or the trainer cannot feed it."""
  return _read(name) if ":" in name else _read_ours(name)


def _read(name: str) -> LossSignature:
  module, function = _locate(name)
  signature, doc = own_functions.signature(module, function)
  arrays, optional, hyperparameters = [], [], {}
  for parameter in signature.parameters.values():
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
      raise UserError(f"loss {name} takes {parameter}: write its arrays and hyperparameters out")
    if parameter.kind == parameter.KEYWORD_ONLY:
      hyperparameters[parameter.name] = _default(name, parameter, module)
    else:
      _check_array(name, parameter.name)
      (arrays if parameter.default is parameter.empty else optional).append(parameter.name)
  return LossSignature(
    name=name,
    module=module,
    function=function,
    arrays=tuple(arrays),
    optional_arrays=tuple(optional),
    hyperparameters=hyperparameters,
    comments=argument_comments(doc, hyperparameters),
    limits=limits(module, signature, hyperparameters),
  )


_read_ours = functools.cache(_read)  # a sweep reads the same few for each of its runs


def words_of(config: ConfigDict) -> frozenset[str]:
  """The arrays that a config's loss needs: an optional `ref_logps` only where beta is not 0."""
  signature = read(config.algorithm.loss)
  words = {*signature.arrays, *signature.optional_arrays}
  if "ref_logps" in signature.optional_arrays and config.algorithm.get("beta", 1.0) == 0:
    words.remove("ref_logps")
  return frozenset(words)


def place_of(name: str) -> str:
  """Its "module:function"; raises UserError if there is no such loss."""
  return ":".join(_locate(name))


@functools.cache
def vocabulary() -> dict[str, tuple[str, str]]:
  """algorithms.shapes.VOCABULARY: {array a loss may ask for: (axes, where it comes from)}."""
  assignments = (node for node in _own("shapes.py").body if isinstance(node, ast.Assign))
  tables = {ast.unparse(node.targets[0]): node.value for node in assignments}
  return ast.literal_eval(tables["VOCABULARY"])


@functools.cache
def _table() -> dict[str, str]:
  """{"dpo": "algorithms.dpo", ...}: the names in LOSSES = ... and where they are imported from."""
  modules, table = {}, {}
  for node in _own("__init__.py").body:
    if isinstance(node, ast.ImportFrom):
      modules |= {alias.asname or alias.name: node.module for alias in node.names}
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LOSSES":
      used = [child.id for child in ast.walk(node.value) if isinstance(child, ast.Name)]
      table = {word: modules[word] for word in used if word in modules}
  return table


def _own(file: str) -> ast.Module:
  return own_functions.parse(os.path.join(files.ROOT, "algorithms", file))


def _locate(name: str) -> tuple[str, str]:
  table = _table()
  if name in table:
    return table[name], name
  if ":" not in name:
    config = os.path.join("configs", f"{name}.py")
    if config in config_modules.available("configs"):
      raise UserError(f"no loss {name!r}; it is a config: --config={config}")
    hint = did_you_mean(nearest_function(name, table)) or f" {_LISTED}"
    raise UserError(f"no loss {name!r}.{hint} (Your own: module.path:function)")
  return own_functions.split(name, "mylab.losses:my_loss")


def _default(name: str, parameter: inspect.Parameter, module: str) -> Any:
  """The default of a hyperparameter; 1 becomes 1.0 where the annotation says float."""
  value = parameter.default
  if value is parameter.empty:
    raise UserError(f"loss {name}: give {parameter.name} a default, it is the config's default too")
  is_int = isinstance(value, int) and not isinstance(value, bool)
  is_float = hyperparameter_limits.is_float(parameter.annotation, module, own_functions.module_tree)
  return float(value) if is_int and is_float else value


def limits(module: str, signature: inspect.Signature, names: Iterable[str]) -> dict[str, Any]:
  """The limits of those hyperparameters whose annotation has one."""
  annotations = {name: signature.parameters[name].annotation for name in names}
  found = {
    n: hyperparameter_limits.limit(a, module, own_functions.module_tree)
    for n, a in annotations.items()
  }
  return {name: limit for name, limit in found.items() if limit is not None}


def _check_array(name: str, argument: str) -> None:
  words = vocabulary()
  if argument not in words:
    hint = did_you_mean(nearest(argument, words))
    raise UserError(
      f"loss {name}: its argument {argument!r} is no array that the trainer has.{hint}\n"
      f"(arrays: {', '.join(words)}; hyperparameters go after a `*`)"
    )


def argument_comments(doc: str, hyperparameters: dict[str, Any]) -> dict[str, str]:
  """From the lines `beta: what it is` or `clip_low, clip_high: what they are` of a docstring."""
  arguments = textwrap.dedent(doc.partition("Args:\n")[2].partition("\n\n")[0])
  comments = {}
  for words, text in re.findall(r"^(\w+(?:, \w+)*): (.*(?:\n +.*)*)", arguments, re.M):
    known = [word for word in words.split(", ") if word in hyperparameters]
    comments |= dict.fromkeys(known, " ".join(text.split()))
  return comments
