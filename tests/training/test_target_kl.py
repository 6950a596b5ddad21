"""A beta that moves so that the KL holds a target: by hand, in a run, in a population, refused."""

import jax
import numpy as np
import pytest

from tests.training.stopped_runs import rows_of, whole_and_resumed
from tests.training.test_population import SMALL, assert_same, configs_of, one_by_one, together
from training import build
from training.checking import config_files, validate
from training.errors import UserError
from training.run import train
from training.start import starting_state
from training.state import adapted, random_params
from training.trial import check_loss

HELD = {"algorithm.beta": 0.5, "reference.target_kl": 0.001, "steps": 6, "checkpoint.every": 3}


@pytest.mark.parametrize(
  "kl, moved",
  [(0.05, 0.5), (0.055, 0.5 * 1.01), (0.045, 0.5 * 0.99), (9.0, 0.5 * 1.02), (-1.0, 0.5 * 0.98)],
)
def test_beta_moves_by_a_tenth_of_the_relative_error_and_by_2_percent_at_most(kl, moved):
  assert adapted(np.float32(0.5), kl, 0.05) == pytest.approx(moved, rel=1e-6)


def test_a_run_begins_with_the_configs_beta_and_a_beta_that_stays_is_in_no_state():
  for target, beta in ((0.001, 0.5), (0.0, None)):
    parts = build.parts_of(
      config_files.load("configs/grpo.py", SMALL | HELD | {"reference.target_kl": target})
    )
    state = starting_state(parts, random_params(parts.model, parts.mesh, 0))
    assert (state.beta is None) if beta is None else (float(state.beta) == beta)
    assert ("beta" in state.saved) == (beta is not None)  # older checkpoints have no such name
  assert len(jax.tree.leaves(state)) == len(jax.tree.leaves((state.params, state.moments))) + 2


def test_a_run_logs_the_beta_of_each_step_and_resumes_with_the_same_bits(tmp_path):
  config = config_files.load("configs/grpo.py", SMALL | HELD | {"inner_epochs": 2})
  whole, resumed = whole_and_resumed(config, tmp_path)
  rows = rows_of(whole.folder)
  assert rows == rows_of(resumed.folder) and len(rows) == 7
  betas, kls = ([row[f"train/{name}"] for row in rows[1:]] for name in ("beta", "kl"))
  assert betas[0] == 0.5 and len(set(betas)) == 6
  for before, kl, after in zip(betas, kls, betas[1:], strict=False):
    error = np.clip(kl / 0.001 - 1, -0.2, 0.2)
    assert after == pytest.approx(before * (1 + 0.1 * error), rel=1e-6)


def test_the_loss_has_the_beta_that_moved(tmp_path):
  """Two runs that differ in the target alone part after the first step."""
  runs = [
    train(
      config_files.load("configs/grpo.py", SMALL | HELD | {"reference.target_kl": target}),
      str(tmp_path / str(target)),
      root=str(tmp_path),
    )
    for target in (1e-6, 10.0)
  ]
  low, high = (rows_of(run.folder) for run in runs)
  assert low[1]["train/grad_norm"] == high[1]["train/grad_norm"]
  assert low[6]["train/beta"] == pytest.approx(0.5 * 0.98 * 1.02**4, rel=1e-5)  # at first 0
  assert high[6]["train/beta"] == pytest.approx(0.5 * 0.98**5, rel=1e-5)
  assert low[6]["train/loss"] != high[6]["train/loss"]


@pytest.mark.slow
def test_every_member_of_a_population_has_a_beta_of_its_own(tmp_path):
  members = [
    {"seed": 0, "reference.target_kl": 1e-6},
    {"seed": 1, "algorithm.beta": 0.2, "reference.target_kl": 10.0},
  ]
  configs = configs_of("configs/grpo.py", members, **HELD | {"checkpoint.every": 6})
  for member, single in zip(
    together(tmp_path, configs), one_by_one(tmp_path, configs), strict=True
  ):
    assert_same(member, single)
    assert len({row["train/beta"] for row in member.read_metrics()[1:]}) > 1


@pytest.mark.parametrize(
  "config, fields, message",
  [
    ("grpo", {"reference.target_kl": -1}, "reference.target_kl=-1.0: must not be negative"),
    ("grpo", {"reference.target_kl": 0.1}, "begins at algorithm.beta=0, and multiplied it stays 0"),
    ("sft", {"reference.target_kl": 0.1}, "reference.target_kl=0.1: sft has no beta that could"),
  ],
)
def test_a_target_without_a_beta_is_refused(config, fields, message):
  with pytest.raises(UserError) as error:
    validate.check(config_files.load(f"configs/{config}.py", fields))
  assert message in str(error.value)


def test_a_loss_that_logs_no_kl_is_refused_before_anything_is_loaded():
  config = config_files.load("configs/dpo.py", {"reference.target_kl": 0.1})
  with pytest.raises(UserError, match="target_kl=0.1: loss dpo logs no 'kl'"):
    check_loss(build.put_together(config, build.task_of(config)))
