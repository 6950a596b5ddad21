"""The files of modules, found and parsed without importing anything."""

import ast
import dataclasses
import functools
import importlib.machinery
import os
import sys
import tokenize
from collections.abc import Sequence

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
_STANDARD = os.path.dirname(os.__file__)
_found: dict[tuple[str, tuple[str, ...]], tuple[str | None, list[str]]] = {}  # what `_find` found


@dataclasses.dataclass(frozen=True, eq=False)  # one object for each content that was read
class File:
  """A file of Python, read."""

  path: str
  lines: list[bytes]  # in UTF-8, as the columns of the tree count
  tree: ast.Module

  def text_of(self, node: ast.stmt) -> str:
    """The text of a statement (`ast.get_source_segment` takes 10 ms for each)."""
    lines = self.lines[node.lineno - 1 : node.end_lineno]
    lines[-1] = lines[-1][: node.end_col_offset]
    lines[0] = lines[0][node.col_offset :]
    return b"\n".join(lines).decode()


def path_of(module: str) -> str | None:
  """The file of a module, looked for in the working directory first; None if it has none."""
  return _find(module)[0]


def of_module(module: str) -> File | None:
  """The tree of the module's file; None if none can be read. SyntaxError of the file."""
  path = path_of(module)
  return read(path) if path and path.endswith(".py") else None


def read(path: str) -> File:
  """The file's tree, read again only when it was written again. SyntaxError if it has one."""
  about = os.stat(path)
  return _read(path, about.st_mtime_ns, about.st_size)


def home(package: str) -> str:
  """The folder that a package, or a module in none, lies in; "" if it is installed, or nowhere."""
  path, folders = _find(package)
  place = os.path.abspath(path or next(iter(folders), os.sep))
  folder = os.path.dirname(place.removesuffix(f"{os.sep}__init__.py"))
  is_installed = folder.startswith(_STANDARD) or folder.endswith(("site-packages", "dist-packages"))
  return "" if is_installed else folder.rstrip(os.sep)


def short(module: str) -> str:
  """Its file as one speaks of it: "algorithms/dpo.py"; "" if it has none."""
  path = path_of(module)
  if not path:
    return ""
  ending = "/__init__.py" if os.path.basename(path) == "__init__.py" else ".py"
  return module.replace(".", "/") + ending


def _find(module: str) -> tuple[str | None, list[str]]:
  """(its file, the folders of its submodules), found without importing its packages."""
  places = (os.getcwd(), *sys.path, ROOT)
  path, folders = _found.get((module, places), (None, []))
  if path is None or not os.path.exists(path):
    path, folders = _found[module, places] = _search(module, places)
  return path, folders


def _search(module: str, places: Sequence[str]) -> tuple[str | None, list[str]]:
  folders, origin = list(places), None
  parts = module.split(".")
  for depth in range(1, len(parts) + 1):
    spec = importlib.machinery.PathFinder.find_spec(".".join(parts[:depth]), folders)
    if spec is None:
      return None, []
    folders, origin = list(spec.submodule_search_locations or []), spec.origin
  return origin, folders


@functools.cache
def _read(path: str, changed: int, size: int) -> File:
  del changed, size
  with tokenize.open(path) as file:  # in whatever encoding it declares
    source = file.read()
  return File(path, source.encode().split(b"\n"), ast.parse(source, path))
