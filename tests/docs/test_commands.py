"""Every command of the README and docs/ is accepted as it stands, with the files it speaks of."""

import importlib
import importlib.util
import json
import os
import re
import sys

import jax
import pytest

from models.pretrained import exporting
from models.transformer import ModelConfig, init
from tasks.datasets import DATA_SETS, text_data
from tests.docs import pages
from tests.experiments import commands
from tests.tasks.tokenizers.tiny_tokenizer import CHATML, TOKENS, folder
from training import Run
from training.checking import config_files
from training.policy import Policy
from training.records.run_folder import RunFolder
from training.targets import chips

COMMANDS = list(dict.fromkeys(c for page in pages.PAGES for c in pages.commands(page)))
DRY = (  # commands that can stop after their checks
  *("experiments.train", "experiments.sweep", "experiments.rounds", "experiments.claims"),
  *("experiments.tune", "tasks.build", "benchmarks.bench", "tests.chaos"),
)
STOP_AT = {  # the others: the first function that is called once the arguments are read
  "docs.results.write": "keep",
  "benchmarks.serving": "OpenAI",
  "tests.serving.kills": "go_through",
  "benchmarks.population": "sweep",
  "experiments.serve": "begin",
  "experiments.evaluate": "RunFolder",
  "experiments.export": "config_of",
  "experiments.report": "comparison.read",
  "experiments.show": "load_run",
  "experiments.upload": "runs_in",
  "experiments.wandb_report": "folder_of",
}
NO_ARGUMENTS = (
  *("benchmarks.load", "benchmarks.logits", "benchmarks.population_on_chip"),
  *("benchmarks.targets", "benchmarks.weak_scaling", "tests.comparing.false_alarms"),
)
MODEL = ModelConfig(
  vocab_size=len(TOKENS) + 7,
  layers=1,
  d_model=16,
  heads=2,
  kv_heads=1,
  head_dim=8,
  ff_dim=16,
  qk_norm=False,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
  """The folder of a tiny pretrained model that chats."""
  path = tmp_path_factory.mktemp("pretrained") / "model"
  exporting.export(jax.jit(init, static_argnums=0)(MODEL, jax.random.key(0)), MODEL, str(path))
  return folder(path, chat_template=CHATML)


@pytest.fixture
def place(tmp_path, model):
  """A folder with everything that commands of the docs name but do not make."""
  os.makedirs(tmp_path / "Qwen")
  for name in ("FOLDER", "smollm2-135m", "stories260k", "Qwen/Qwen3-0.6B"):
    os.symlink(model, tmp_path / name)
  teacher = RunFolder(str(tmp_path / "TEACHER"))
  config = json.loads(config_files.load("configs/grpo.py", {}).to_json_best_effort())
  teacher.create(config, digest="d", config_file="configs/grpo.py")
  teacher.mark("finished")
  pair = {"chosen": "yes", "rejected": "no"}
  group = {"responses": [{"response": str(n), "score": n} for n in range(4)]}
  for name, rest in (("pairs", pair), ("scored", group), ("questions", {"answer": "2"})):
    rows = [{"prompt": f"{n}+1="} | rest for n in range(300)]
    if name == "scored":
      rows = [{"messages": [{"role": "user", "content": row.pop("prompt")}]} | row for row in rows]
    write_rows(tmp_path / f"{name}.jsonl", rows)
  named = [{"query": f"{n}+1=", "better": "yes", "worse": "no", "tools": [1]} for n in range(300)]
  write_rows(tmp_path / "named.jsonl", named)
  liked = [{"prompt": f"{n}+1=", "completion": "yes", "label": n % 2 == 0} for n in range(300)]
  write_rows(tmp_path / "liked.jsonl", liked)
  return tmp_path


def write_rows(path, rows):
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(autouse=True)
def nothing_begins(monkeypatch, place):
  """Nothing is built, loaded or served; a data set that tasks.build would build is a small file."""
  locate = text_data.locate

  def small(name, data_dir):
    kind = "questions" if name == "gsm8k" else "scored" if name == "gsm8k_groups" else "pairs"
    return str(place / f"{kind}.jsonl") if name in DATA_SETS else locate(name, data_dir)

  monkeypatch.setattr(text_data, "locate", small)
  monkeypatch.setattr("experiments.train.memory_needed", lambda config: "")
  monkeypatch.setattr(
    "experiments.command_line.for_target.compile_for",
    lambda name, config: chips.check_mesh(chips.find(name), config.mesh.to_dict()) or 0,
  )
  monkeypatch.setattr("experiments.tuning.results.read", lambda path: {"variants": {}})
  monkeypatch.setattr("experiments.tuning.results.values", lambda *of_a_tune: {})
  for module, function in STOP_AT.items():
    monkeypatch.setattr(f"{module}.{function}", stop)
  for name in [name for name in sys.modules if name.partition(".")[0] == "mylab"]:
    monkeypatch.delitem(sys.modules, name)  # another page's


def stop(*_, **__):
  sys.exit(0)


def write_python(page, place):
  """The page's Python blocks as the files that their first lines name."""
  for block in pages.blocks(page):
    if block.language == "python" and (named := re.match(r"# ([\w/]+\.py)\b", block.text)):
      path = place / named[1]
      path.parent.mkdir(exist_ok=True)
      path.write_text(block.text)


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_is_accepted(command, place):
  write_python(command.page, place)
  if command.module == "benchmarks.peers.run":
    return check_peers(command.arguments)
  if command.module in NO_ARGUMENTS:
    assert importlib.util.find_spec(command.module) and not command.arguments
    return
  is_dry = command.module in DRY
  assert is_dry or command.module in STOP_AT, f"{command.module}: no command that these tests know"
  asked = any(word.startswith("--dry_run") for word in command.arguments)
  words = [*command.arguments, *(["--dry_run"] if is_dry and not asked else [])]
  done = commands.run(main_of(command.module), *words, place=place)
  assert (done.returncode, done.stderr) == (0, "")


def main_of(module):
  """The main of a module, or of a package that is run."""
  found = importlib.util.find_spec(module)
  is_package = found and found.submodule_search_locations
  return importlib.import_module(f"{module}.__main__" if is_package else module).main


def check_peers(arguments):
  """Its folder is no package: it runs in environments that have no more than TRL, or Tunix."""
  path = pages.PROJECT / "benchmarks" / "peers"
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sys, "path", [str(path), *sys.path])
    patch.setattr(sys, "argv", ["run.py", *arguments])
    importlib.import_module("run").parse()


def test_commands_are_found_wherever_they_stand():
  found = {command.module for command in COMMANDS}
  assert {*DRY, *STOP_AT, *NO_ARGUMENTS, "benchmarks.peers.run"} == found
  gcloud = [c for c in pages.commands("docs/scaling.md") if "--distributed" in c.arguments]
  assert len(gcloud) == 2 and all(command.arguments[0].startswith("--config") for command in gcloud)


@pytest.mark.parametrize("page", pages.PAGES)
def test_python_on_a_page_uses_names_that_there_are(page):
  for block in pages.blocks(page):
    if block.language == "python":
      compile(block.text, page, "exec")
      assert all(hasattr(Run, name) for name in re.findall(r"\brun\.(\w+)", block.text))
      assert all(hasattr(Policy, name) for name in re.findall(r"\bpolicy\.(\w+)", block.text))
