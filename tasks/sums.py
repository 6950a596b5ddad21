"""Sums in several steps: "7+8-9+3=" -> "15 6 9", a running total after each term."""

import random
from collections.abc import Iterator

from tasks.items import Item, traits


@traits(
  reward="numeric",
  demonstrations="0.4*right + 0.3*last_term + 0.15*one_step_early + 0.15*last_step_wrong",
)
def running_sum(*, terms: int = 4) -> Iterator[Item]:
  """Sums and differences of digits; no total is negative. The reward looks at the last total.

  Args:
    terms: of each prompt; the steps are one fewer.
  """
  if terms < 2:
    raise ValueError(f"running_sum: terms={terms}: at least 2")
  draw = random.Random(f"running_sum {terms}")
  while True:
    total = draw.randint(1, 9)
    prompt, totals = str(total), []
    for _ in range(terms - 1):
      term = draw.randint(1, 9)
      sign = draw.choice((1, -1)) if term <= total else 1
      total += sign * term
      prompt += f"{'+' if sign > 0 else '-'}{term}"
      totals.append(str(total))
    yield Item(prompt + "=", " ".join(totals))
