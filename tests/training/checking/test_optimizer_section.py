"""The `optimizer` section: whose numbers are in it, what is refused, what of one's own may be."""

import subprocess
import sys

import pytest

from tasks.rewards.reward import Reward
from tasks.task import Task
from training import base_policy, build, reward_model
from training.checking import config_files, digests, optimizer_section, validate
from training.errors import UserError
from training.optimizer import OPTIMIZERS, SCHEDULES

SHARED = {"name", "learning_rate", "warmup_steps", "schedule", "weight_decay", "max_grad_norm"}
OWN = """
import optax

def adan(*, b3=0.01): return optax.scale_by_adan(b3=b3)
def half(progress, *, share=0.5): return share
def takes_a_rate(learning_rate, *, b1=0.9): ...
def has_a_switch(*, nesterov=True): ...
"""
CONFIG = """
from configs import common

def get_config():
  config = common.defaults("grpo")
  {more}
  return config
"""


def section(**overrides):
  fields = {f"optimizer.{name}": value for name, value in overrides.items()}
  return config_files.load("configs/grpo.py", fields).optimizer.to_dict()


def problem(spec="configs/grpo.py", **overrides):
  fields = {f"optimizer.{name}": value for name, value in overrides.items()}
  with pytest.raises(UserError) as error:
    validate.check(config_files.load(spec, fields))
  return str(error.value)


@pytest.fixture
def own(tmp_path, monkeypatch):
  """A folder with mine.py, of which commands are typed there."""
  (tmp_path / "mine.py").write_text(OWN)
  monkeypatch.chdir(tmp_path)
  return tmp_path


def test_the_tables_are_read_from_source_as_they_are():
  assert optimizer_section.names("name") == tuple(OPTIMIZERS)
  assert optimizer_section.names("schedule") == tuple(SCHEDULES)


def test_two_names_that_are_not_there_are_said_at_once():
  said = problem(name="adma", schedule="cosin")
  assert "optimizer.name='adma'" in said and "optimizer.schedule='cosin'" in said


@pytest.mark.parametrize("field, table", [("name", OPTIMIZERS), ("schedule", SCHEDULES)])
def test_every_line_of_a_table_loads_and_comments_its_numbers(field, table):
  for name, function in table.items():
    choice = optimizer_section.read(field, name)
    assert choice.load() is function
    assert choice.numbers.keys() == choice.comments.keys() == choice.limits.keys()


def test_the_section_has_the_numbers_of_its_optimizer_and_schedule_and_no_others():
  assert section().keys() == SHARED | {"b1", "b2"}
  assert section(name="sgd").keys() == SHARED | {"momentum"}
  assert section(schedule="wsd", name="lion").keys() == SHARED | {"b1", "b2", "decay_share"}
  assert (section()["b2"], section(name="lion")["b2"]) == (0.95, 0.99)
  assert section(name="muon", momentum="0.8")["momentum"] == 0.8


@pytest.mark.parametrize(
  "overrides, message",
  [
    (
      {"name": "adam"},
      "optimizer.name='adam': choose one of adamw, adamw_bf16, sgd, lion, muon. Did you mean ",
    ),
    ({"name": True}, "optimizer.name=True: choose one of adamw, "),
    (
      {"schedule": "cosin"},
      "optimizer.schedule='cosin': choose one of constant, linear, cosine, wsd. Did you mean cos",
    ),
    (
      {"name": "sgd", "b2": 0.95},
      "--config.optimizer.b2: only optimizer.name='adamw' or 'adamw_bf16' or 'lion' or 'muon' "
      "reads it, not 'sgd'",
    ),
    (
      {"decay_share": 0.1},
      "--config.optimizer.decay_share: only optimizer.schedule='wsd' reads it, not 'linear'",
    ),
    ({"name": "lion", "b1": "x"}, "--config.optimizer.b1 is float (default 0.9); 'x' is not."),
    ({"name": "sgd", "momentum": 1}, "optimizer.momentum=1: must be at least 0 and below 1"),
    ({"name": "sgd", "momentum": float("nan")}, "optimizer.momentum=nan: must be a finite number"),
    ({"schedule": "wsd", "decay_share": 1.5}, "optimizer.decay_share=1.5: must be at least 0 and"),
    ({"name": "mine:adann"}, "no function 'adann' in "),
    ({"name": "nowhere:adan"}, "cannot import nowhere:adan"),
    ({"name": "mine.py:adan"}, "'mine.py:adan' is not module.path:function, such as mine:adan"),
    (
      {"name": "mine:takes_a_rate"},
      "optimizer.name='mine:takes_a_rate' is called with (), not (learning_rate); its numbers go",
    ),
    ({"schedule": "mine:adan"}, "'mine:adan' is called with (progress), not ()"),
    ({"name": "mine:has_a_switch"}, "give nesterov a number as its default"),
  ],
)
def test_what_makes_no_sense_is_said_with_what_to_type(own, overrides, message):
  said = problem(**overrides)
  assert message in said
  assert len([line for line in said.splitlines() if not line.startswith("(")]) == 1  # said once


@pytest.mark.parametrize(
  "more, message",
  [
    (
      "config.optimizer.lr = 1e-4",
      "optimizer.lr: there is no such field. Did you mean optimizer.le",
    ),
    (
      "config.optimizer.momentum = 0.8",
      "only optimizer.name='sgd' or 'muon' reads it, not 'adamw'",
    ),
    ("config.optimizer.b1 = 'low'", "mine.py: optimizer.b1 is float (default 0.9); 'low' is not."),
  ],
)
def test_a_mistake_in_a_config_file_is_located(tmp_path, more, message):
  path = tmp_path / "mine.py"
  path.write_text(CONFIG.replace("{more}", more))
  assert message in problem(str(path))


def test_another_optimizer_keeps_the_numbers_of_the_file_that_it_has_and_drops_the_rest(tmp_path):
  path = tmp_path / "mine.py"
  lines = (
    "config.optimizer.name = 'muon'\n  config.optimizer.momentum = 0\n  config.optimizer.b1 = .8"
  )
  path.write_text(CONFIG.replace("{more}", lines))
  assert config_files.load(str(path), {}).optimizer.momentum == 0.0
  adamw = config_files.load(str(path), {"optimizer.name": "adamw"}).optimizer
  assert (adamw.b1, adamw.b2) == (0.8, 0.95) and "momentum" not in adamw


def test_an_optimizer_of_ones_own_is_named_as_a_loss_is_and_is_part_of_the_digest(own):
  settings = {"optimizer.name": "mine:adan", "optimizer.schedule": "mine:half"}
  config = config_files.load("configs/grpo.py", settings | {"optimizer.b3": "0.02"})
  validate.check(config)
  parts = build.put_together(config, Task("none", (), (), Reward()))
  assert (config.optimizer.b3, config.optimizer.share) == (0.02, 0.5)
  assert parts.optimizer.__name__ == "adan"
  assert parts.schedule(0.3) == 0.5
  assert parts.numbers["optimizer"]["b3"] == 0.02
  before = digests.of_run(config)["digest"]
  (own / "mine.py").write_text(OWN.replace("return share", "return 2 * share"))
  assert digests.of_run(config)["digest"] != before


def test_bases_and_reward_models_are_trained_by_adamw_whatever_the_run_is():
  usual = config_files.load("configs/grpo.py", {})
  other = config_files.load(
    "configs/grpo.py", {"optimizer.name": "muon", "optimizer.momentum": 0.8}
  )
  numbers = {"name": "adamw", "b1": 0.9, "b2": 0.95, "weight_decay": 0.0, "max_grad_norm": 1.0}
  for config in (usual, other):
    base, judge = base_policy.base_config(config), reward_model.config_of(config)
    assert base.optimizer.to_dict() == numbers | {
      "learning_rate": 3e-3,
      "warmup_steps": 20,
      "schedule": "cosine",
    }
    assert judge.optimizer.to_dict() == numbers | {
      "learning_rate": 5e-4,
      "warmup_steps": 0,
      "schedule": "linear",
    }
  assert base_policy.digest_of_base(usual) == base_policy.digest_of_base(other)


def test_a_run_that_is_older_than_the_choice_has_adamw():
  config = config_files.load("configs/grpo.py", {})
  with config.unlocked():
    del config.optimizer["name"]
  validate.check(config)
  assert build.optimizer_of(config) is OPTIMIZERS["adamw"]


def test_another_optimizer_can_be_chosen_in_python():
  config = config_files.load("configs/grpo.py", {})
  config.optimizer.name = "sgd"
  found = config_files.complete(config).optimizer
  assert found.momentum == 0.9 and "b1" not in found
  config.optimizer.b1 = 0.8
  readers = "'adamw' or 'adamw_bf16' or 'lion' or 'muon'"
  message = f"the config: optimizer.b1: only optimizer.name={readers} reads it"
  with pytest.raises(UserError, match=message):
    config_files.complete(config)
  config.optimizer.name = "mun"
  with pytest.raises(UserError, match="Did you mean muon?"):
    config_files.complete(config)


def test_checking_an_optimizer_of_ones_own_imports_nothing(own):
  (own / "mine.py").write_text("import jax\n" + OWN)
  code = (
    "import sys; from training.checking import config_files, digests, validate; "
    "config = config_files.load('configs/grpo.py', {'optimizer.name': 'mine:adan'}); "
    "validate.check(config); digests.of_run(config); sys.exit('jax' in sys.modules)"
  )
  path = {"PYTHONPATH": config_files.__file__.partition("/training/")[0], "PATH": ""}
  assert subprocess.run([sys.executable, "-c", code], env=path).returncode == 0
