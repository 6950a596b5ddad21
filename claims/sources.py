"""The claims' text and the code they depend on, read from source files: nothing is imported."""

import ast

from tasks.code import files, fingerprints


def docstring(module: str, function: str) -> str:
  """Returns the docstring of a function at the top of a module; "" if there is none."""
  file = files.of_module(module)
  body = file.tree.body if file else []
  found = [node for node in body if isinstance(node, ast.FunctionDef) and node.name == function]
  return ast.get_docstring(found[0]) or "" if found else ""


def digest(module: str, function: str) -> str:
  """Changes with the code of a function, of all that it names, and of every loss.

  Every loss, because a training run finds its own by name.
  """
  return fingerprints.of(f"{module}:{function}", "algorithms:LOSSES")
