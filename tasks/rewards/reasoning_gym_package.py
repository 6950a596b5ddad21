"""reasoning-gym, imported quietly, without the one dependency that it hardly needs."""

import importlib.util
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
