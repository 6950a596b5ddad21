"""A family of losses stands on its own parts, and on no other family's."""

import ast
import pathlib

import pytest

import algorithms

FOLDER = pathlib.Path(algorithms.__file__).parent
PREFERENCES = """
  dpo dpo_weighted anchored kto optimal_transport plackett_luce reference_free reward_model
  probit regression
""".split()


def parts(name: str) -> set[str]:
  """The files of algorithms/ that this one imports, directly or through others."""
  found, waiting = set(), [name]
  while waiting:
    for node in ast.walk(ast.parse((FOLDER / f"{waiting.pop()}.py").read_text())):
      package, _, part = (getattr(node, "module", None) or "").partition(".")
      if package == "algorithms":
        waiting += [part] * (part not in found)
        found.add(part)
  return found


@pytest.mark.parametrize("name", PREFERENCES)
def test_a_preference_loss_stands_without_policy_gradients(name):
  assert {"loss_function", "shapes"} <= parts(name)
  assert "policy_gradient" not in parts(name)
