"""DPO widens a gap between two log-probs; both may fall while it does."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.ledger.claim import DOES_NOT_HOLD, HOLDS, Finding, Part, Plot
from experiments.ledger.small_losses import LOSSES
from experiments.ledger.small_results import Runs, curve, figure, measure, over_seeds
from experiments.ledger.small_training import Arrays, Setup, Trained, Variant, arrays_of
from experiments.ledger.small_world import (
  LETTERS,
  draw_words,
  groups_of,
  right_answers,
  write,
)
from models.groups import Groups
from models.transformer import Params

SEEDS = range(4)
STEPS = 96
KINDS = ("near misses", "other words", "by the base policy")
BETAS = {"dpo": 0.1, "dpo beta=1": 1.0}


def write_pairs(
  setup: Setup, writer: Trained, reference: Params, key: jax.Array, data: Any
) -> tuple[Groups, Arrays]:
  """A right answer, preferred to what `data` says: the number of one of KINDS.

  Near misses are the right answer with one letter replaced; other words have as many letters, drawn
  at random; and pairs by the base policy are two responses of its own (no pair where both are right
  or both wrong).
  """

  def near_misses(key):
    for_words, for_place, for_letter = jax.random.split(key, 3)
    words, word_mask = draw_words(for_words, setup.prompts)
    right, mask = right_answers(words)
    place = jax.random.randint(for_place, (setup.prompts, 1), 0, mask.sum(axis=1, keepdims=True) - 1)
    shift = jax.random.randint(for_letter, (setup.prompts, 1), 1, LETTERS)
    replaced = 2 + (right - 2 + shift) % LETTERS
    wrong = jnp.where(jnp.arange(right.shape[1]) == place, replaced, right)
    return groups_of(words, word_mask, jnp.stack([right, wrong], axis=1))

  def other_words(key):
    for_words, for_letters = jax.random.split(key)
    words, word_mask = draw_words(for_words, setup.prompts)
    right, _ = right_answers(words)
    letters = jax.random.randint(for_letters, right.shape, 2, 2 + LETTERS)
    wrong = jnp.where(right > 1, letters, right)
    return groups_of(words, word_mask, jnp.stack([right, wrong], axis=1))

  def by_the_policy(key):
    groups = write(writer["params"], key, setup.prompts, 2)
    return groups_of(groups.prompts, groups.prompt_mask, groups.responses, groups.mask)

  groups = jax.lax.switch(data, (near_misses, other_words, by_the_policy), key)
  return groups, arrays_of(setup, groups, reference)


PAIRED = Setup(
  group_size=2, losses=tuple((name, LOSSES[name]) for name in BETAS), collect=write_pairs
)


def displacement() -> Finding:
  """ "DPO can lower the log-probs of the chosen and of the rejected response both." (Pal et al.,
  2024, "Smaug"; Razin et al., 2024, "Unintentional Unalignment".)

  `dpo` trains the base policy for 96 steps on 16 fresh pairs each, four seeds. The chosen response
  is right; the rejected one is a near miss (one letter replaced), another word of that length, or
  both are the base policy's own. The mean log-ratio to the base policy, which starts at 0, is taken
  on each step's pairs before they are trained on. Rates 3e-5 and 3e-4, beta 0.1 and 1.

  Both fall where, over the last 12 steps, both log-ratios lie below 0 beyond the 95 % interval. The
  claim says "can": it holds under the settings that it names.
  """
  variants = {
    f"{kind}, beta {beta:g}, rate {rate:g}": Variant(
      loss, rate, STEPS, period=STEPS, data=KINDS.index(kind), setup=PAIRED
    )
    for kind in KINDS
    for loss, beta in BETAS.items()
    for rate in (3e-5, 3e-4)
  }
  runs = measure(variants, SEEDS)
  return judge({name: (found, BETAS[variants[name].loss]) for name, found in runs.items()})


def judge(runs: Mapping[str, tuple[Runs, float]]) -> Finding:
  """Of every setting, its runs and its beta."""
  chosen, rejected = (
    {name: found.metrics[f"rewards/{side}"] / beta for name, (found, beta) in runs.items()}
    for side in ("chosen", "rejected")
  )

  def falls(name: str) -> bool:
    return all(over_seeds(h[name][:, -1]).high < 0 for h in (chosen, rejected))

  fallen = [name for name in runs if falls(name)]
  parts = [Part(f"{name}: both fall", name in fallen) for name in runs]
  return Finding(
    HOLDS if len(fallen) == len(runs) else f"holds under {_where(fallen)}" if fallen else DOES_NOT_HOLD,
    "x",
    [figure(f"chosen, {name}, nats", chosen[name][:, -1]) for name in runs]
    + [figure(f"rejected, {name}, nats", rejected[name][:, -1]) for name in runs],
    [
      Plot(
        f"Log-probs of {kind}",
        "step",
        "change since the start, nats a response",
        [
          curve(f"{side}, {name.partition(', ')[2]}", _middles(runs[name][0]), h[name])
          for side, h in (("chosen", chosen), ("rejected", rejected))
          for name in runs
          if name.startswith(kind)
        ],
      )
      for kind in KINDS
    ],
    parts,
  )


def _where(fallen: list[str]) -> str:
  return "; ".join(fallen)


def _middles(runs: Runs) -> np.ndarray:
  """The middles of the stretches that the metrics are means over."""
  return (runs.steps[1:] + runs.steps[:-1]) / 2
