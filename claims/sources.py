"""The claims' text and the code they depend on, read from source files: nothing is imported."""

import ast
import functools
import hashlib
import pathlib

_ROOT = pathlib.Path(__file__).parent.parent


def docstring(module: str, function: str) -> str:
  """Returns the docstring of a function at the top of a project's module; "" if there is none."""
  path = _path(module)
  body = _tree(path).body if path else []
  found = [node for node in body if isinstance(node, ast.FunctionDef) and node.name == function]
  return ast.get_docstring(found[0]) or "" if found else ""


def digest(module: str) -> str:
  """A hash of the code of a module, of all of the project that it imports, and of every loss.

  Every loss, because a training run finds its own by name. Comments and docstrings do not count.
  """
  losses = {f"algorithms.{path.stem}" for path in (_ROOT / "algorithms").glob("*.py")}
  reached: dict[str, str] = {}
  to_read = {module} | losses
  while to_read:
    name = to_read.pop()
    path = _path(name)
    if path and name not in reached:
      reached[name], imported = _read(path)
      to_read |= imported
  code = "".join(f"{name}\n{text}\n" for name, text in sorted(reached.items()))
  return hashlib.sha256(code.encode()).hexdigest()[:16]


def _path(module: str) -> pathlib.Path | None:
  """The file of one of the project's modules; None for any other module."""
  stem = _ROOT.joinpath(*module.split("."))
  candidates = (stem.with_suffix(".py"), stem / "__init__.py")
  return next((path for path in candidates if path.is_file()), None)


@functools.cache
def _read(path: pathlib.Path) -> tuple[str, frozenset[str]]:
  """The code without its docstrings, and the modules that it may import."""
  tree = _tree(path)
  imported = set()
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      imported |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom) and node.module:
      imported |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and ast.get_docstring(node):
      node.body = node.body[1:]
  return ast.dump(tree), frozenset(imported)


def _tree(path: pathlib.Path) -> ast.Module:
  return ast.parse(path.read_text())
