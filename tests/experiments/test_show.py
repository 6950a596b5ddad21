"""The texts of runs in the terminal."""

import json
import os

import pytest

from experiments import show
from tests.comparing import fake_sweep
from tests.experiments import commands
from training import load_run
from training.records.run_folder import RunFolder

PROMPTS = {"lamp>": "pmal", "ocean>": "naeco", "at>": "ta"}


def completion(step, prompt, text, **more):
  answer = PROMPTS[prompt]
  row = {"step": step, "prompt": prompt, "answer": answer, "finished": True}
  return row | {"completion": text, "reward": float(text == answer)} | more


def write(place, name, rows, groups=()):
  run = RunFolder(os.path.join(place, "runs", "quick", name))
  run.create(fake_sweep.config_of("grpo-k2", 0, 8), digest="d", config_file="x")
  run.append_completions(rows)
  run.append_groups(groups)
  return run


@pytest.fixture(scope="module")
def place(tmp_path_factory):
  place = tmp_path_factory.mktemp("place")
  sample = {"completion": "[red]naec[/red]", "reward": 0.0, "finished": False}
  write(
    place,
    "a-s0",
    [
      *(completion(0, prompt, "nothing yet") for prompt in PROMPTS),
      completion(8, "lamp>", "pmal"),
      completion(8, "ocean>", "n\x1b[2Jaeco\u202e", samples=[sample]),
      completion(8, "at>", "ta"),
    ],
    fake_sweep.groups_of("grpo-k8", 8),
  )
  write(
    place,
    "b-s0",
    [completion(8, p, answer if p != "at>" else "") for p, answer in PROMPTS.items()],
  )
  return place


def shown(place, *words):
  done = commands.run(show.main, *words, place=place)
  assert done.returncode == 0, done.stderr
  return done.stdout


def refused(place, *words):
  done = commands.run(show.main, *words, place=place)
  assert done.returncode == 2 and done.stdout == ""
  assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
  return done.stderr


def test_the_last_evaluation_with_samples_below_the_greedy_completion(place):
  out = shown(place, "runs/quick/a-s0")
  assert "runs/quick/a-s0  step 8 of 8" in out and "nothing yet" not in out
  lines = [line.split() for line in out.splitlines()]
  assert ["greedy", "1.00", "pmal"] in lines
  at = lines.index(["ocean>", "answer", "naeco"])
  assert lines[at + 2] == ["sampled", "0.00", "[red]naec[/red]", "(cut", "off)"]
  assert "2 of 3 greedy completions have the full reward, 1" in out


def test_what_a_terminal_would_obey_is_shown_instead(place):
  out = shown(place, "runs/quick/a-s0")
  assert r"n\x1b[2Jaeco\u202e" in out
  assert "\x1b[2J" not in out and "\u202e" not in out


def test_failed_and_step_choose(place):
  out = shown(place, "runs/quick/a-s0", "--failed")
  assert "ocean>" in out and "lamp>" not in out and "at>" not in out
  assert "nothing yet" in shown(place, "runs/quick/a-s0", "--step=0")


def test_a_difference_is_where_rewards_differ(place):
  out = shown(place, "runs/quick/a-s0", "--diff=runs/quick/b-s0")
  assert "ocean>" in out and "at>" in out and "lamp>" not in out
  assert "(empty)" in out
  assert "disagree on 2 of 3 prompts: a-s0 has the higher reward on 1, b-s0 on 1" in out
  failed = shown(place, "runs/quick/a-s0", "--diff=runs/quick/b-s0", "--failed")
  assert "ocean>" in failed and "at>" not in failed  # where the first one fails


def test_without_rewards_texts_are_compared(place):
  unscored = [completion(8, "at>", text, reward=None) for text in ("one", "two")]
  assert show.disagree(*unscored) and not show.disagree(unscored[0], unscored[0])
  write(place, "unscored-s0", unscored[:1])
  assert "greedy  —  one" in shown(place, "runs/quick/unscored-s0", "--failed")


def test_groups_have_their_rewards_by_part_and_what_the_loss_did(place):
  out = shown(place, "runs/quick/a-s0", "--groups")
  lines = [line.split() for line in out.splitlines()]
  assert ["exact", "brief", "reward", "tokens", "weight", "push", "completion"] in lines
  best = lines.index(["1.00", "0.50", "1.00", "4", "+1.300", "+5.200", "<i>1</i>"])
  assert lines[best + 7] == "0.00 0.50 — 4 -0.186 -0.743 <i>0</i> (cut off)".split()  # unscored
  assert "step 8 of 8" in out
  assert "step 1 of 8" in shown(place, "runs/quick/a-s0", "--groups", "--step=1")


def test_a_wrong_run_or_step_says_which_there_are(place):
  assert "there are 0, 8" in refused(place, "runs/quick/a-s0", "--step=7")
  assert "there are 1, 8" in refused(place, "runs/quick/a-s0", "--groups", "--step=0")
  assert "Did you mean runs/quick/a-s0" in refused(place, "runs/quick/a-s1")
  assert "but holds runs: a-s0, b-s0" in refused(place, "runs/quick")
  assert "would hold config.json" in refused(place, "nowhere/run")
  assert "no groups.jsonl" in refused(place, "runs/quick/b-s0", "--groups")
  assert "--failed and --diff" in refused(place, "runs/quick/a-s0", "--groups", "--failed")


def test_a_file_that_cannot_be_read_is_named(place):
  run = write(place, "broken-s0", [])
  with open(os.path.join(run.path, "completions.jsonl"), "w") as file:
    file.write("{broken\n")
  assert "broken-s0/completions.jsonl" in refused(place, "runs/quick/broken-s0")


def test_from_python_they_are_dicts(place):
  run = load_run(str(place / "runs" / "quick" / "a-s0"))
  assert run.completions[-1]["completion"] == "ta"
  assert json.loads(json.dumps(run.groups))[0]["responses"][1]["push"] == 5.2
