"""A task that Counterpoint has never heard of, through the commands."""

import json

import pytest

from experiments import train as train_command
from tests.experiments import commands
from tests.experiments.test_train import SMALL
from training.records.run_folder import RunFolder

TASK = '''
"""Successors: "7+2=" -> "9"."""
from tasks import Item, traits

@traits(reward="own_successors:length_and_digits")
def successors(prompts, *, step: int = 1):
  for n in range(10, 10 + prompts):
    for _ in range(2):
      yield Item(f"{n}+{step}=", answer=str(n + step), entry={"digits": len(str(n))})

def length_and_digits(completion, answer, entry):
  """Half for the right length, half for the right answer."""
  return 0.5 * (len(completion) == entry["digits"]) + 0.5 * (completion == answer)
'''
NAME = "own_successors:successors"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
  path = tmp_path_factory.mktemp("own_task")
  (path / "own_successors.py").write_text(TASK)
  return path


def train(place, *settings, config="configs/grpo.py"):
  small = [setting for setting in SMALL if not setting.startswith("task.reward")]
  settings = (f"task.name={NAME}", "task.options=step=2", *small, *settings)
  words = [f"--config={config}", *(f"--config.{setting}" for setting in settings)]
  return commands.run(train_command.main, *words, "--out=runs/own", "--overwrite", place=place)


def test_it_trains_from_a_base_policy_taught_its_answers_on_its_own_reward(place):
  done = train(place)
  assert done.returncode == 0, done.stderr
  folder = RunFolder(str(place / "runs" / "own"))
  assert folder.read_config()["config"]["task"]["reward"] == "own_successors:length_and_digits"
  rows, completions = folder.read_metrics(), folder.read_completions()
  assert rows[-1]["step"] == 6 and "eval/reward" in rows[-1]
  prompts = [one["prompt"] for one in completions[:16]]
  assert prompts == [f"{n}+2=" for n in range(10, 26)]
  (base,) = (path.name for path in (place / "runs" / "base").iterdir() if path.is_dir())
  assert base.startswith("successors-")


def test_it_has_demonstrations_and_takes_another_reward(place):
  done = train(place, "task.reward=exact", "base.steps=0", "group_size=1", config="configs/sft.py")
  assert done.returncode == 0, done.stderr
  saved = json.loads((place / "runs" / "own" / "config.json").read_text())["config"]
  assert (saved["source"], saved["task"]["reward"]) == ("demonstrations", "exact")


def test_a_dry_run_shows_its_reward_and_its_memory(place):
  words = [f"--config.task.name={NAME}", "--config.task.train_prompts=128", "--dry_run"]
  done = commands.run(train_command.main, "--config=configs/grpo.py", *words, place=place)
  assert done.returncode == 0, done.stderr
  assert "reward: own_successors:length_and_digits" in done.stdout and "# memory: " in done.stdout


def test_what_is_wrong_with_it_is_said_in_a_line_before_anything_is_made(place):
  done = train(place, "task.options=stp=2", "checkpoint.every=1")
  assert done.returncode == 2 and "has no option 'stp'. Did you mean step?" in done.stderr
  assert len(done.stderr.splitlines()) <= 3
