"""The values that a hyperparameter's type allows, read from the source: no jax is imported.

`beta: Beta = 0.1` has a range of algorithms/ranges.py; `ratio: Literal["token", "sequence"]` lists
choices. Names are followed to where they are defined, in the loss's file or those it imports from.
"""

import ast
import functools
import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin

_RANGES = os.path.join(os.path.dirname(__file__), "..", "..", "algorithms", "ranges.py")

Parse = Callable[[str], ast.Module | None]  # module name -> its file; None if there is none


def limit(annotation: Any, module: str, parse: Parse) -> Any:
  """The Range, or the tuple of choices, that an annotation stands for; None if it allows anything.

  Args:
    annotation: its source text, in the file of `module`; or what it is, where that was imported.
  """
  if not isinstance(annotation, str):
    metadata = getattr(annotation, "__metadata__", ())
    is_choice = get_origin(annotation) is Literal
    return get_args(annotation) if is_choice else next(filter(_is_range, metadata), None)
  name, arguments = _subscript(_definition(annotation, module, parse)[0])
  if name == "Literal":
    return tuple(ast.literal_eval(choice) for choice in arguments)
  for argument in arguments if name == "Annotated" else ():
    table, key = _subscript(argument)
    if table == "RANGES":
      return ranges()[ast.literal_eval(key[0])]
  return None


def is_float(annotation: Any, module: str, parse: Parse) -> bool:
  """Does it say float before it says int? (`Scalar` does; `Count` does not.)"""
  if isinstance(annotation, str):
    node, module = _definition(annotation, module, parse)
    name, arguments = _subscript(node)
    if name == "Annotated":
      return is_float(ast.unparse(arguments[0]), module, parse)
    text = ast.unparse(node)
  else:
    text = str(get_args(annotation)[0] if hasattr(annotation, "__metadata__") else annotation)
  return "float" in text and not text.startswith("int")


@functools.cache
def ranges() -> dict[str, Any]:
  """algorithms/ranges.py's RANGES, without the package that it is in."""
  spec = importlib.util.spec_from_file_location("_hyperparameter_ranges", _RANGES)
  assert spec is not None and spec.loader is not None
  module = importlib.util.module_from_spec(spec)
  sys.modules[spec.name] = module  # a dataclass looks its module up
  spec.loader.exec_module(module)
  return module.RANGES


def _is_range(metadata: Any) -> bool:
  """Told by what it can do: an imported loss has algorithms.ranges' own class, not `ranges`'s."""
  return hasattr(metadata, "problem")


def _subscript(node: ast.expr) -> tuple[str, list[ast.expr]]:
  """("Literal", [x, y]) of `typing.Literal[x, y]`; ("", []) if it is no subscript."""
  if not isinstance(node, ast.Subscript):
    return "", []
  arguments = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
  return ast.unparse(node.value).rpartition(".")[2], arguments


def _definition(name: str, module: str, parse: Parse) -> tuple[ast.expr, str]:
  """The expression that a name of the module stands for, and its module; else the name itself."""
  first, _, rest = name.partition(".")
  for statement in getattr(parse(module), "body", ()):
    if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == name:
      return _definition(ast.unparse(statement.value), module, parse)
    if isinstance(statement, ast.ImportFrom):
      package = ".".join(module.split(".")[: -statement.level]) if statement.level else ""
      source = ".".join(filter(None, (package, statement.module)))
      for alias in statement.names:
        if (alias.asname or alias.name) == first:
          where, what = (f"{source}.{alias.name}", rest) if rest else (source, alias.name)
          return _definition(what, where, parse)
  return ast.parse(name or "None", mode="eval").body, module
