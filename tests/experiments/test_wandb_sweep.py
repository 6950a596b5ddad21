"""The file for `wandb sweep`: read by wandb's own code, and its commands run as its agent would."""

import itertools
import json
import os
import subprocess
import sys

import pytest
import yaml

from experiments import train
from experiments.command_line import cli
from experiments.sweeping import plan, wandb_sweep
from training.checking import config_files, digests

SWEEP = """
def get_sweep():
  yield {"name": "plain", "config": "configs/dpo.py"}
  yield {"name": "quoted", "config": "configs/grpo.py:k=8", "task.options": "min_word_len=3"}
"""


@pytest.fixture
def sweep(tmp_path):
  (tmp_path / "mine.py").write_text(SWEEP)
  common = {"wandb.entity": "it's a $HOME file; *"}
  return plan.make(str(tmp_path / "mine.py"), common, str(tmp_path / "a folder"))


def commands_of_agent(config):
  """The words that W&B's agent executes for each point of the grid (wandb/wandb_agent.py)."""
  from wandb.sdk.launch.sweeps import utils

  names = list(config["parameters"])
  for point in itertools.product(*(config["parameters"][name]["values"] for name in names)):
    values = {name: {"value": value} for name, value in zip(names, point, strict=True)}
    filled = utils.create_sweep_command_args({"args": values})
    filled |= {"env": ["/usr/bin/env"], "interpreter": ["python"]}
    words = utils.create_sweep_command(config["command"])
    yield [
      part
      for word in words
      for part in (filled[word[2:-1]] if word.startswith("${") and word.endswith("}") else [word])
    ]


def test_wandb_reads_the_file_and_its_agent_runs_the_commands(sweep, tmp_path, capsys):
  from wandb.sdk.launch.sweeps import utils

  wandb_sweep.show(sweep, sweep.runs)
  (tmp_path / "sweep.yaml").write_text(capsys.readouterr().out)
  config = utils.load_sweep_config(str(tmp_path / "sweep.yaml"))
  assert config and config["method"] == "grid" and config["project"] == "counterpoint"

  # A `python` that says what it was given: the words must come through two shells unharmed.
  python = tmp_path / "python"
  python.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
  python.chmod(0o755)
  path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
  for run, words in zip(sweep.runs, commands_of_agent(config), strict=True):
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ | {"PATH": path})
    assert json.loads(done.stdout) == [
      "-m",
      "experiments.train",
      f"--config={run.config_file}",
      *(f"--config.{key}={value}" for key, value in run.overrides.items()),
      "--group=mine",
      f"--out={run.folder.path}",
    ]


@pytest.fixture
def product(tmp_path):
  swept = {"seed": [0, 1], "optimizer.learning_rate": ["1e-4", "2e-4"], "model.tied": ["true"]}
  return plan.make("configs/grpo.py:k=8", {}, str(tmp_path / "a folder"), swept)


def test_every_combination_of_fields_is_real_parameters(product):
  config = wandb_sweep.sweep_config(product, product.runs)
  assert config["parameters"] == {
    "config.seed": {"values": [0, 1]},
    "config.optimizer.learning_rate": {"values": [1e-4, 2e-4]},  # numbers, not the texts typed
    "config.model.tied": {"values": [True]},
  }
  assert config["metric"] == {"name": "eval/reward_sampled", "goal": "maximize"}


def test_the_agents_commands_are_the_runs_of_the_plan(product):
  config, found = wandb_sweep.sweep_config(product, product.runs), set()
  for words in commands_of_agent(yaml.safe_load(yaml.safe_dump(config))):
    assert words[:4] == ["/usr/bin/env", "python", "-m", "experiments.train"]
    args = cli.parse(words[4:], "", train.FLAGS, sweeps=True)
    assert (args.group, args.into) == (product.name, product.folder)
    found.add(digests.of_run(config_files.load(args.config, args.overrides))["digest"])
  assert found == {run.digest for run in product.runs} and len(found) == 4


def test_what_is_no_product_of_fields_keeps_its_whole_commands(product, sweep, tmp_path):
  assert list(wandb_sweep.parameters(product.runs)) and not wandb_sweep.parameters(sweep.runs)
  assert wandb_sweep.parameters(product.runs[:2]) and not wandb_sweep.parameters(product.runs[:3])
  file = tmp_path / "files.py"
  file.write_text("""
def get_sweep():
  for config in ("configs/grpo.py", "configs/dpo.py"):
    yield {"config": config, "seed": 1}
""")
  assert not wandb_sweep.parameters(plan.make(str(file), {}).runs)


def test_wandbs_own_schema_accepts_it(sweep, product):
  sweeps = pytest.importorskip("sweeps")  # W&B's engine; installed by wandb[sweeps]
  config = wandb_sweep.sweep_config(sweep, sweep.runs)
  assert sweeps.schema_violations_from_proposed_config(config) == []
  fields = wandb_sweep.sweep_config(product, product.runs)
  assert sweeps.schema_violations_from_proposed_config(fields | {"method": "bayes"}) == []
  assert sweeps.next_run(config, []).config["command"]["value"] == sweep.runs[0].command


def test_finished_runs_are_left_out(sweep):
  first = sweep.runs[0]
  first.folder.create(first.config, digest=first.digest, config_file=first.config_file)
  first.folder.write_status("finished")
  again = plan.make(sweep.file, sweep.common, sweep.folder)
  config = wandb_sweep.sweep_config(again, again.runs)
  assert config["parameters"]["command"]["values"] == [again.runs[1].command]
  assert yaml.safe_load(yaml.safe_dump(config)) == config
