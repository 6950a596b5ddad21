"""config.task.reward from the command line to a batch's rewards."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from tests.training.test_regimes import SMALL, parts_of, policy  # noqa: F401
from training import build
from training.batches import batch_metrics
from training.checking import config_files, config_task, digests, validate, validate_reward
from training.errors import UserError
from training.scoring import Scorer
from training.sources.online import Online

OWN = "tests.tasks.rewards.own"


def problem(reward, **overrides):
  overrides = {"task.reward": reward} | overrides
  with pytest.raises(UserError) as error:
    validate.check(config_files.load("configs/grpo.py", overrides))
  return str(error.value)


@pytest.mark.parametrize(
  "reward, message",
  [
    ("exat", "task.reward: no reward 'exat'. Did you mean exact?"),
    ("exact + 0.1*lenght(max=3)", "task.reward: no reward 'lenght'. Did you mean length?"),
    ("exact +", "task.reward='exact +': cannot read '+': write it like numeric + 0.2*format"),
    ("length", "task.reward: length needs max: write length(max=...)"),
    ("length(max=2.5)", "task.reward: length: max is int; 2.5 is not"),
    ("regex('(')", "task.reward: regex: the pattern '(': missing )"),
    (f"{OWN}:impolite", "task.reward: no function 'impolite' in "),
    (f"{OWN}:impolite", "Did you mean politeness?"),
    (f"{OWN}:politeness(wrd='x')", "has no option 'wrd'. Did you mean word?"),
    (f"{OWN}:temperature_of", "its argument 'temprature' is none that a reward may ask for."),
    ("not_there:polite", "task.reward: cannot import not_there:polite from"),
    ("vader", "task.reward='vader': looks at no answer, and spell_backward has answers"),
  ],
)
def test_what_is_wrong_with_a_reward_is_said(reward, message):
  assert message in problem(reward)


@pytest.mark.parametrize(
  "reward",
  ["scorer", "exact + 0.1*vader", f"numeric - 0.1*{OWN}:politeness(word='so')", "0*exact + math"],
)
def test_what_makes_sense_is_taken(reward):
  validate.check(config_files.load("configs/grpo.py", {"task.reward": reward}))


def test_gdpo_takes_no_weights():
  said = problem("exact + 0.5*scorer", **{"algorithm.loss": "gdpo"})
  assert "task.reward='exact + 0.5*scorer': gdpo takes each reward alike" in said


def test_a_config_is_checked_without_importing_jax_or_the_users_module():
  code = (
    "import sys; from training.checking import config_files, digests, validate;"
    f"config = config_files.load('configs/grpo.py', {{'task.reward': '{OWN}:politeness + math'}});"
    "validate.check(config); digests.of_run(config);"
    f"sys.exit(str({{'jax', '{OWN}', 'math_verify', 'sympy'}} & sys.modules.keys() or ''))"
  )
  done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
  assert done.stderr.strip() == ""


def test_the_digest_changes_with_the_code_of_a_reward(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  config = config_files.load("configs/grpo.py", {"task.reward": "mine:polite"})
  found = []
  for body in ("1.0", "1.0  # a comment", "0.5"):
    (tmp_path / "mine.py").write_text(f"def polite(completion):\n  return {body}\n")
    found.append(digests.of_run(config)["digest"])
  assert found[0] == found[1] != found[2]


def test_a_run_goes_on_where_a_reward_hangs_and_counts_what_it_left_unscored(policy):  # noqa: F811
  reward = f"exact + 0.5*{OWN}:hangs_at_e"
  parts = parts_of(**{"task.reward": reward, "scoring.seconds": 1.0, "batch_prompts": 4})
  parts = dataclasses.replace(parts, task=dataclasses.replace(parts.task, scores_unfinished=True))
  batch = Online(parts, Scorer(parts)).collect(0, policy)
  texts = [parts.task.tokenizer.decode(ids) for ids in batch.groups.responses.reshape(-1, 8)]
  hung = np.array(["e" in text for text in texts])
  assert 0 < hung.sum() < len(texts)
  np.testing.assert_array_equal(batch.groups.rewards.reshape(-1), np.where(hung, np.nan, 0.5))
  metrics = batch_metrics(parts.config, batch, parts.task.reward_names)
  assert metrics["unscored"] == pytest.approx(hung.mean())
  assert metrics["rewards/exact"] == 0
  assert "took longer than 1 s" in parts.task.reward.new_faults()[0]


def test_a_reward_that_cannot_be_imported_is_an_error_before_training(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "broken_reward.py").write_text("import nothing\n\ndef f(completion):\n  return 0\n")
  config = config_files.load("configs/grpo.py", SMALL | {"task.reward": "broken_reward:f"})
  assert not list(validate_reward.problems(config))  # its source is fine
  # A dry run, which scores nothing, imports nothing.
  assert config_task.task_of(config).reward_names == ("f",)
  with pytest.raises(UserError, match="task: cannot import broken_reward:f .* named 'nothing'"):
    build.parts_of(config)
