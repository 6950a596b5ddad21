"""The file for `wandb sweep`: read by wandb's own code, and its commands run as its agent would."""

import itertools
import json
import os
import subprocess
import sys

import pytest
import yaml

from experiments.sweeping import plan, wandb_sweep

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


def test_wandbs_own_schema_accepts_it(sweep):
  sweeps = pytest.importorskip("sweeps")  # W&B's engine; installed by wandb[sweeps]
  config = wandb_sweep.sweep_config(sweep, sweep.runs)
  assert sweeps.schema_violations_from_proposed_config(config) == []
  assert sweeps.next_run(config, []).config["command"]["value"] == sweep.runs[0].command


def test_finished_runs_are_left_out(sweep):
  first = sweep.runs[0]
  first.folder.create(first.config, digest=first.digest, config_file=first.config_file)
  first.folder.write_status("finished")
  again = plan.make(sweep.file, sweep.common, sweep.folder)
  config = wandb_sweep.sweep_config(again, again.runs)
  assert config["parameters"]["command"]["values"] == [again.runs[1].command]
  assert yaml.safe_load(yaml.safe_dump(config)) == config
