"""No file, and no answer of a process, is read in a way that could run code of its own."""

import ast
import pathlib

import pytest

from tests.test_structure import FILES, PROJECT, imports, module_of

# Formats whose reading runs what is in them.
RUN_CODE = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "jsonpickle"}
RUN_CODE |= {"xml", "tarfile"}  # and what follows entities, or "../"
PLACES = [*FILES, *sorted((PROJECT / "docs").rglob("*.py")), PROJECT / "setup.py"]


def calls(path: pathlib.Path):
  """(dotted name, call) of each call in a file."""
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Call):
      yield ast.unparse(node.func), node


def problems(path: pathlib.Path):
  modules = {name.partition(".")[0] for name in imports(path)}
  yield from (f"imports {name}" for name in sorted(modules & RUN_CODE))
  if "multiprocessing" in modules and path.parts[-2:-1] != ("rewards",):
    yield "imports multiprocessing, whose pipes carry pickles"
  for name, call in calls(path):
    given = {word.arg: ast.unparse(word.value) for word in call.keywords}
    last = name.rpartition(".")[2]
    if name in ("eval", "exec", "compile", "builtins.eval", "builtins.exec"):
      yield f"calls {name}"
    if name in ("np.load", "numpy.load", "jnp.load") and given.get("allow_pickle") != "False":
      yield f"calls {name} without allow_pickle=False"
    if name in ("np.save", "np.savez", "np.savez_compressed") and "allow_pickle" in given:
      yield f"calls {name} with allow_pickle"
    if last in ("load", "full_load", "unsafe_load", "load_all") and "yaml" in name:
      yield f"calls {name}"
    if name == "torch.load" or last in ("read_pickle", "to_pickle", "extractall", "unpack_archive"):
      yield f"calls {name}"
    if "shell" in given and given["shell"] != "False":
      yield f"calls {name} with a shell"
    if last == "system" and name.startswith("os"):
      yield f"calls {name}"
    if last in ("mktemp",) and "tempfile" in name:
      yield f"calls {name}"


@pytest.mark.parametrize("path", PLACES, ids=module_of)
def test_nothing_is_read_that_runs_code(path):
  assert list(problems(path)) == []


@pytest.mark.parametrize(
  "code",
  [
    "import pickle",
    "from dill import loads",
    "import joblib.externals",
    "np.load(path)",
    "np.load(path, allow_pickle=True)",
    "np.load(path, allow_pickle=flag)",
    "yaml.load(file)",
    "torch.load(path)",
    "eval(file.read())",
    "subprocess.run(words, shell=True)",
    "import tarfile",
    "import multiprocessing",
    "shutil.unpack_archive(path)",
  ],
)
def test_the_search_finds_them(code, tmp_path):
  path = tmp_path / "code.py"
  path.write_text(code)
  assert list(problems(path))


def test_only_the_trusted_side_of_rewards_sends_objects():
  """The process that trains takes bytes from the one that a response was judged in."""
  names = [name for name, _ in calls(PROJECT / "tasks/rewards/workers.py")]
  assert not [name for name in names if name.endswith(".recv")]
