"""The walls of the house: which folder may import which, and how big a room may grow."""

import ast
import graphlib
import pathlib
import subprocess
import sys

import pytest

PROJECT = pathlib.Path(__file__).parent.parent
FLOORS = (  # each may import those before it
  *("algorithms", "models", "tasks", "configs", "training"),
  *("rounds", "serving", "comparing", "claims", "experiments", "benchmarks"),
)
FILES = [
  path
  for floor in FLOORS
  for path in sorted((PROJECT / floor).rglob("*.py"))
  if "peers" not in path.parts
]


def imports(path: pathlib.Path) -> set[str]:
  """The modules that a file imports, wherever in it."""
  found = set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom) and node.module:
      found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
  return found


def module_of(path: pathlib.Path) -> str:
  name = ".".join(path.relative_to(PROJECT).with_suffix("").parts)
  return name.removesuffix(".__init__")


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_point_down(path):
  floor = path.relative_to(PROJECT).parts[0]
  above = set(FLOORS[FLOORS.index(floor) + 1 :])
  assert not above & {name.partition(".")[0] for name in imports(path)}


def test_no_circle_of_imports():
  modules = {module_of(path): path for path in FILES}
  arrows = {name: imports(path) & modules.keys() - {name} for name, path in modules.items()}
  # A package's own table of contents imports its modules; they import each other past it.
  arrows = {
    name: {m for m in found if not name.startswith(f"{m}.")} for name, found in arrows.items()
  }
  list(graphlib.TopologicalSorter(arrows).static_order())  # raises CycleError


def stands_on(module: str) -> set[str]:
  """The files that a module reaches through its imports, wherever in a file they are; tables of
  contents aside."""
  modules = {module_of(path): path for path in FILES if path.name != "__init__.py"}
  found, waiting = set(), [module]
  while waiting:
    name = waiting.pop()
    if name not in found:
      found.add(name)
      waiting += imports(modules[name]) & modules.keys()
  return found


def test_the_update_and_the_loop_stand_on_few_files():
  assert len(stands_on("training.update")) <= 22
  assert len(stands_on("training.loop")) <= 47


def test_the_step_knows_no_task_config_or_file():
  rooms = {name.rpartition(".")[0] for name in stands_on("training.update")}
  assert rooms <= {"algorithms", "models", "training", "training.population"}


ENTRANCES = {"assembly", "base_policy", "policy", "reward_model"}  # of training/


def test_only_entrances_build_the_parts_of_a_run():
  inside = {module_of(path): imports(path) for path in FILES if path.parts[-2] != "tests"}
  builders = {name for name, found in inside.items() if "training.build" in found}
  assert {n.removeprefix("training.") for n in builders if n.startswith("training.")} <= ENTRANCES


def test_the_run_is_a_library():
  """It knows no command line, no sweep and no screen, nor any library for one."""
  for path in (PROJECT / "training").rglob("*.py"):
    assert not {"rich", "argparse", "curses"} & {n.partition(".")[0] for n in imports(path)}, path


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_docstring_names_its_subject(path):
  """ "What is wrong with a config" is a riddle's beginning; "Problems of a config" is not."""
  documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
  nodes = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, documented))
  assert not [doc for node in nodes if (doc := ast.get_docstring(node) or "").startswith("What ")]


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_file_is_a_room_one_can_see_across(path):
  assert len(path.read_text().splitlines()) <= 320


@pytest.mark.parametrize(
  "module",
  [
    "configs.common",
    "experiments.sweep",
    "experiments.tune",
    "experiments.report",
    "experiments.show",
    "experiments.rounds",
    "experiments.serve",
    "training.run",
    "training.population.programs",
    "models.pretrained.checkpoint_files",
  ],
)
def test_nothing_slow_at_import(module):
  heavy = (
    "jax",
    "flax",
    "wandb",
    "plotly",
    "reasoning_gym",
    "tensorflow_datasets",
    "tensorflow",
    "optuna",
  )
  code = f"import sys, {module}; sys.exit(str([m for m in {heavy} if m in sys.modules] or ''))"
  done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT)
  assert done.stderr.strip() in ("", "[]"), done.stderr


def test_tasks_need_no_tensorflow():
  code = "import sys, tasks.group_dataset, tasks.reasoning; sys.exit('tensorflow' in sys.modules)"
  assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT).returncode == 0
