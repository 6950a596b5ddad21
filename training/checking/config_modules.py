"""Config and sweep files as Python files: found, listed and run, with errors that say where.

A relative path is looked up here and then in the project, so its configs work from any folder.
"""

import ast
import importlib.util
import os
import traceback
import types
from collections.abc import Callable
from typing import Any

from configs.common import ArgumentError
from tasks.slips import did_you_mean, nearest
from training.errors import UserError

_ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
_COMMANDS = {"get_config": "train", "get_sweep": "sweep", "get_hyper": "sweep"}


def available(folder: str) -> dict[str, str]:
  """{"configs/dpo.py": first line of its docstring} of the config or sweep files in a folder."""
  found = {}
  for base in (os.path.join(_ROOT, folder), folder):
    for name in sorted(os.listdir(base)) if os.path.isdir(base) else []:
      if name.endswith(".py"):
        text = _read(os.path.join(base, name))
        if any(f"def {function}(" in text for function in _COMMANDS):
          found[os.path.join(folder, name)] = _headline(text)
  return found


def read(path: str) -> str:
  """The text of a file; raises UserError with the nearest names if there is none."""
  return _read(_find(path))


def run(path: str, *functions: str) -> tuple[types.ModuleType, Callable]:
  """Runs a file; returns it and the first of `functions` that it has.

  Raises:
    UserError: no such file, none of the functions in it, or an exception, with its line.
  """
  location = _find(path)
  spec = importlib.util.spec_from_file_location(os.path.basename(path).partition(".")[0], location)
  if spec is None or spec.loader is None:
    raise UserError(f"{path} is not a Python file")
  module = importlib.util.module_from_spec(spec)
  loader = spec.loader
  call(path, lambda: loader.exec_module(module))
  for function in functions:
    if hasattr(module, function):
      return module, getattr(module, function)
  has = [function for function in _COMMANDS if hasattr(module, function)]
  advice = f"{has[0]}: run it with python -m experiments.{_COMMANDS[has[0]]}" if has else ""
  raise UserError(f"{path} has no {functions[0]}()" + (f" (it defines {advice})" if advice else ""))


def call(path: str, function: Callable[[], Any]) -> Any:
  """function(), which belongs to the file; whatever it raises becomes a UserError with the line."""
  try:
    return function()
  except (ArgumentError, UserError):
    raise
  except SyntaxError as error:
    raise UserError(f"{path} line {error.lineno}: {error.msg}") from error
  except Exception as error:
    location = os.path.abspath(_find(path))
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if os.path.abspath(frame.filename) == location]
    where = f"{path} line {lines[-1]}" if lines else path
    reason = " ".join(str(error).replace("\\n", " ").split())
    raise UserError(f"{where}: {type(error).__name__}: {reason}") from error


def _find(path: str) -> str:
  for location in (path, os.path.join(_ROOT, path)):
    if os.path.isfile(location):
      return location
  ours = ("configs", "configs/sweeps", "configs/tasks", "configs/models")
  folders = dict.fromkeys((os.path.dirname(path) or "configs", *ours))
  known = [file for folder in folders for file in available(folder)]
  hint = [file for file in known if _stem(file) == _stem(path)]
  hint = hint or nearest(path, known) or nearest(os.path.join("configs", path), known)
  there_are = f" There are {', '.join(known)}."
  raise UserError(f"no config file {path!r}.{did_you_mean(hint) or there_are}")


def _read(location: str) -> str:
  with open(location, encoding="utf-8") as file:
    return file.read()


def _headline(text: str) -> str:
  try:
    return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
  except SyntaxError:
    return "(a syntax error)"


def _stem(path: str) -> str:
  return os.path.splitext(os.path.basename(path))[0]
