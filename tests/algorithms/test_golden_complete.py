"""Every policy gradient has values that were worked out by hand."""

import inspect

import pytest

from algorithms import LOSSES
from tests.algorithms import (
  test_golden_baselines,
  test_golden_policy_gradient,
  test_golden_regression,
  test_golden_trust_region,
)

TABLES = (
  test_golden_baselines,
  test_golden_policy_gradient,
  test_golden_regression,
  test_golden_trust_region,
)
ALONE = {"reinforce", "ppo", "gdpo", "off_policy_grpo"}  # have tests of their own


@pytest.mark.parametrize("name", LOSSES)
def test_a_policy_gradient_has_a_value_by_hand(name):
  tables = [loss for module in TABLES for loss, _, _ in module.GOLDEN.values()]
  if "old_logps" in inspect.signature(LOSSES[name]).parameters and name not in ALONE:
    assert LOSSES[name] in tables
