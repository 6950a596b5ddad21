"""A loss is tried on shapes before anything is trained: slips are said in a line, by its name."""

import pytest

from algorithms import LOSSES
from tests.training.test_run import SMALL
from training import UserError, build, load_config
from training.checking.config_task import task_of
from training.trial import check_loss

OWN = """
import jax.numpy as jnp

def right(logps, rewards, mask, ref_logps=None, *, tau=1.0):
  return jnp.where(mask, logps, tau).sum(), {"mean": rewards.mean()}

def alone(logps):
  return logps.sum()

def an_array(logps):
  return logps.sum(axis=-1), {}

def an_array_metric(logps, rewards):
  return logps.sum(), {"rewards_of_all": rewards}

def branches(logps, *, tau=1.0):
  return (logps.sum() if tau > 0 else logps.mean()), {}

def misspells(logps):
  return log_ps.sum(), {}

def broadcasts(logps, rewards):
  return (logps * rewards).sum(), {}
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
  (tmp_path / "slips.py").write_text(OWN)
  monkeypatch.chdir(tmp_path)
  monkeypatch.syspath_prepend(tmp_path)


def parts_of(loss, **overrides):
  config = load_config("configs/grpo.py", SMALL | {"algorithm.loss": loss} | overrides)
  return build.put_together(config, task_of(config))


@pytest.mark.parametrize(
  ("loss", "message"),
  [
    ("alone", "must return (loss, metrics), the metrics a dict: `return loss, {}`"),
    ("an_array", "its loss has shape (3, 2); it must be one number"),
    ("an_array_metric", "its metric 'rewards_of_all' has shape (3, 2); it must be one number"),
    ("branches", "write jnp.where, not `if`"),
    ("misspells", "raised NameError: name 'log_ps' is not defined"),
    ("broadcasts", "raised ValueError: Incompatible shapes"),
  ],
)
def test_a_slip_is_said_by_the_name_of_the_loss(own, loss, message):
  with pytest.raises(UserError) as error:
    check_loss(parts_of(f"slips:{loss}"))
  assert str(error.value).startswith(f"loss slips:{loss}") and message in str(error.value)


def test_a_right_loss_of_ones_own_passes(own):
  check_loss(parts_of("slips:right"))


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_of_the_table_passes(loss):
  check_loss(parts_of(loss, group_size=3, **({"algorithm.pairs": "all"} if loss == "dpo" else {})))
