"""Every loss has values that were worked out by hand."""

import inspect

import pytest

from algorithms import LOSSES
from tests.algorithms import test_golden_policy_gradient, test_golden_trust_region

TABLES = (test_golden_policy_gradient, test_golden_trust_region)
# Worked out in tests of their own.
ALONE = {"reinforce", "ppo", "gdpo", "off_policy_grpo"}


@pytest.mark.parametrize(
  "name",
  [name for name, loss in LOSSES.items() if "old_logps" in inspect.signature(loss).parameters],
)
def test_a_policy_gradient_has_a_value_by_hand(name):
  tables = [loss for module in TABLES for loss, _, _ in module.GOLDEN.values()]
  assert LOSSES[name] in tables or name in ALONE
