"""What the README lists is what there is."""

import pathlib
import re

import pytest

from algorithms import LOSSES
from tasks.rewards import REWARDS
from training.checking import config_files, validate

PROJECT = pathlib.Path(__file__).parent.parent
README = (PROJECT / "README.md").read_text()
LINES = [line for line in README.splitlines() if re.match(r"\| `\w+`", line)]
ROWS = [line.strip("|").split("|") for line in LINES]
LISTED = {
  name: row[3].strip()
  for row in ROWS
  if len(row) == 5
  for name in re.findall(r"`(\w+)`", row[0])
  if name != "divergence"
}


def test_every_loss_has_its_row_and_every_row_its_loss():
  assert LISTED.keys() == LOSSES.keys()


@pytest.mark.parametrize("name", LISTED)
def test_the_config_of_the_row_trains_this_loss(name):
  config = f"configs/{LISTED[name].rstrip('*')}.py"
  overrides = {"algorithm.loss": name} if LISTED[name].endswith("*") else {}
  loaded = config_files.load(config, overrides)
  validate.check(loaded)
  assert loaded.algorithm.loss == name


def test_every_reward_has_its_row():
  rewards = README.partition("### Rewards\n")[2].partition("\n### ")[0]
  listed = re.findall(r"^\| `(\w+)[`(]", rewards, re.M)
  assert listed == list(REWARDS)
