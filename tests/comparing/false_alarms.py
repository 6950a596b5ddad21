"""How often the verdict says more than there is: of tables in which nothing differs.

python -m tests.comparing.false_alarms [TABLES]

Prints, for each kind of table, the share that has a false ▼ (a variant clearly below the best) and
the share that has a false clear gain over the base policy. Each may be 5 %.
"""

import sys
from typing import Any

import numpy as np

from comparing import over_prompts
from comparing.comparison import at_end
from comparing.leaders import BELOW, leaders
from comparing.verdict import over_seeds_gains
from tests.comparing import fake_sweep


def of_seeds(variants: int, seeds: int, tables: int, **options: Any) -> tuple[float, float]:
  """Finals and starts are normal: no variant differs from another, nor from the base policy."""
  draw = np.random.default_rng(0)
  below = gained = 0
  for _ in range(tables):
    finals = draw.normal(size=(variants, seeds), **options)
    result = fake_sweep.compare(
      *(fake_sweep.finished(f"v{i}", dict(enumerate(row))) for i, row in enumerate(finals))
    )
    below += BELOW in leaders(result, at_end("eval/reward")).values()
    gained += any(gain.is_clear for gain in over_seeds_gains(result, "eval/reward").values())
  return below / tables, gained / tables


def of_prompts(
  variants: int, seeds: int, prompts: int, tables: int, luck: float = 0.0
) -> tuple[float, float]:
  """Every checkpoint answers a prompt right with the prompt's own probability, in 4 samples.

  With `luck` the checkpoints of equal algorithms differ: that is the standard deviation of what a
  seed adds to every probability.
  """
  draw = np.random.default_rng(0)
  below = gained = 0
  for _ in range(tables):
    chances = draw.beta(1, 1, size=prompts)

    def of(spread: float, chances=chances):
      own = np.clip(chances + draw.normal(scale=spread, size=(seeds, 1)), 0, 1)
      return (draw.binomial(4, own) / 4).mean(axis=0)

    ends, starts = ([of(spread) for _ in range(variants)] for spread in (luck, 0.0))
    pairs = [ends[i] - ends[j] for i in range(variants) for j in range(i)]
    best = int(np.argmax([end.mean() for end in ends]))
    names = [(i, j) for i in range(variants) for j in range(i)]
    found = zip(names, over_prompts.gaps(pairs), strict=True)
    below += any(gap.is_clear for pair, gap in found if best in pair)
    differences = [end - start for end, start in zip(ends, starts, strict=True)]
    gained += any(gap.is_clear for gap in over_prompts.gaps(differences))
  return below / tables, gained / tables


def main(tables: int) -> None:
  for variants, seeds in ((5, 3), (5, 5), (14, 5)):
    shares = of_seeds(variants, seeds, tables)
    _print(f"{variants} variants x {seeds} seeds, over seeds", shares)
  for variants, seeds, prompts, luck in (
    *((5, 2, 512, 0.0), (14, 2, 512, 0.0), (5, 1, 512, 0.0)),
    *((5, 1, 30, 0.0), (5, 2, 512, 0.02)),
  ):
    shares = of_prompts(variants, seeds, prompts, tables, luck)
    name = f"{variants} variants x {seeds} seeds, over {prompts} prompts"
    _print(name + (f", seeds that differ by {luck}" if luck else ""), shares)


def _print(name: str, shares: tuple[float, float]) -> None:
  print(f"{name}: a false ▼ {shares[0]:.1%}, a false gain {shares[1]:.1%}", flush=True)


if __name__ == "__main__":
  main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
