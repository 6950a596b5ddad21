"""The installed reasoning-gym: imported quietly, and its data sets known without an import."""

import functools
import importlib.util
import os
import re
import sys
import types
import warnings


def import_reasoning_gym():
  """The package, imported when a task is made and not before: it takes seconds (sympy, matplotlib).

  It imports the SAT solver pycosat, for its zebra puzzles alone. pycosat has no wheels and would
  ask every newcomer for a C compiler, so requirements.lock leaves it out; an empty module stands
  in.
  """
  if "pycosat" not in sys.modules and importlib.util.find_spec("pycosat") is None:
    sys.modules["pycosat"] = types.ModuleType("pycosat")
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # SyntaxWarnings of a dependency's dependency
    import reasoning_gym

  return reasoning_gym


@functools.cache
def data_sets() -> dict[str, str]:
  """{data set: the file that defines it}. ValueError if reasoning-gym is not installed."""
  spec = importlib.util.find_spec("reasoning_gym")
  if spec is None or not spec.submodule_search_locations:
    raise ValueError("reasoning-gym is not installed: pip install -e .")
  files = {}
  for folder, _, names in os.walk(spec.submodule_search_locations[0]):
    for path in (os.path.join(folder, name) for name in names if name.endswith(".py")):
      with open(path, encoding="utf-8") as file:
        found = re.search(r'^DATASET_NAME = "(\w+)"', file.read(), re.M)
      if found:
        files[found[1]] = path
  return dict(sorted(files.items()))


def options_of(data_set: str) -> list[str]:
  """The fields of the data set's config dataclass; `seed` and `size` are ours to set."""
  with open(data_sets()[data_set], encoding="utf-8") as file:
    config = re.search(r"^class \w+Config\b.*?(?=^\S|\Z)", file.read(), re.M | re.S)
  names = re.findall(r"^ {4}(\w+): ", config[0], re.M) if config else []
  return [name for name in names if name not in ("seed", "size")]
