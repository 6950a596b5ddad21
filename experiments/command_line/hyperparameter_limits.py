"""What the type of a hyperparameter allows, read from the source: no jax is imported.

`beta: Beta = 0.1` names a range of algorithms/ranges.py; `ratio: Literal["token", "sequence"]`, or
the name of such a Literal (`pairs: PairRule`), lists the choices.
"""

import ast
import functools
import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any

_RANGES = os.path.join(os.path.dirname(__file__), "..", "..", "algorithms", "ranges.py")


def limit(annotation: str, tree: ast.Module, parse: Callable[[str], ast.Module | None]) -> Any:
  """The Range, or the tuple of choices, that an annotation stands for; None if it allows anything.

  Args:
    annotation: its source text.
    tree: the file it is in.
    parse: module name -> its file, parsed (None if it cannot be found), to follow an import.
  """
  name = annotation.rpartition(".")[2]
  if name in ranges():
    return ranges()[name]
  if not annotation:
    return None
  return _choices(ast.parse(annotation, mode="eval").body, tree, parse)


@functools.cache
def ranges() -> dict[str, Any]:
  """algorithms/ranges.py's RANGES, without the package that it is in."""
  spec = importlib.util.spec_from_file_location("_hyperparameter_ranges", _RANGES)
  assert spec is not None and spec.loader is not None
  module = importlib.util.module_from_spec(spec)
  sys.modules[spec.name] = module  # a dataclass looks its module up
  spec.loader.exec_module(module)
  return module.RANGES


def _choices(node: ast.expr, tree: ast.Module, parse) -> tuple[Any, ...] | None:
  if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("Literal"):
    values = ast.literal_eval(node.slice)
    return values if isinstance(values, tuple) else (values,)
  if not isinstance(node, ast.Name):
    return None
  for statement in tree.body:
    if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == node.id:
      return _choices(statement.value, tree, parse)
    if isinstance(statement, ast.ImportFrom) and statement.module:
      for alias in statement.names:
        elsewhere = parse(statement.module) if (alias.asname or alias.name) == node.id else None
        if elsewhere is not None:
          return _choices(ast.Name(alias.name), elsewhere, parse)
  return None
