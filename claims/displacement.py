"""Displacement: DPO widens the gap between two log-probs, and both may fall meanwhile."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from claims.claim import DOES_NOT_HOLD, HOLDS, Finding, Plot, Subclaim
from claims.small_losses import LOSSES
from claims.small_results import curve, figure, over_seeds
from claims.small_training import Arrays, Setup, Trained, Variant, arrays_of, train
from claims.small_world import LETTERS, draw_words, groups_of, right_answers, write
from models.groups import Groups
from models.transformer import Params
from training.estimates import Estimate

SEEDS = range(4)
STEPS = 64
KINDS = ("near misses", "other words", "by the base policy")
BETAS = {"dpo": 0.1, "dpo beta=1": 1.0}
RATES = (3e-5, 3e-4)


def write_pairs(
  setup: Setup, writer: Trained, reference: Params, key: jax.Array, data: Any
) -> tuple[Groups, Arrays]:
  """Writes pairs; `data` is the index in KINDS of what the pairs are.

  near misses         a right answer, preferred to itself with one letter replaced
  other words         a right answer, preferred to as many letters drawn at random
  by the base policy  two responses of its own (no pair where both are right or both wrong)
  """

  def near_misses(key):
    for_words, for_place, for_letter = jax.random.split(key, 3)
    words, word_mask = draw_words(for_words, setup.prompts)
    right, mask = right_answers(words)
    place = jax.random.randint(
      for_place, (setup.prompts, 1), 0, mask.sum(axis=1, keepdims=True) - 1
    )
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

  `dpo` trains the base policy for 64 steps on 16 fresh pairs each, four seeds. The chosen response
  is right and the rejected one a near miss (one letter replaced) or another word of that length, or
  both are the base policy's own. The mean log-ratio to the base policy, 0 at the start, is taken on
  each step's pairs before they are trained on. Rates 3e-5 and 3e-4, beta 0.1 and 1.

  Both fall in a setting if, over its last 8 steps, both log-ratios lie below 0 beyond the 95 %
  interval. The claim says "can", so it holds under the settings where they do.
  """
  settings = {
    f"{kind}, beta {beta:g}, rate {rate:g}": Variant(
      loss, rate, STEPS, period=STEPS, data=KINDS.index(kind), setup=PAIRED
    )
    for rate in RATES
    for kind in KINDS
    for loss, beta in BETAS.items()
  }
  histories = train(settings, SEEDS)
  betas = {name: BETAS[setting.loss] for name, setting in settings.items()}
  chosen, rejected = (
    {
      name: np.stack([run.metrics[f"rewards/{side}"] for run in runs]) / betas[name]
      for name, runs in histories.items()
    }
    for side in ("chosen", "rejected")
  )
  return finding_of(chosen, rejected)


def finding_of(chosen: Mapping[str, np.ndarray], rejected: Mapping[str, np.ndarray]) -> Finding:
  """Returns the finding from each setting's mean log-ratios of both sides, [seeds, snapshots]."""
  fallen = [name for name in chosen if _falls(chosen[name]) and _falls(rejected[name])]
  at_rate = {rate: [name for name in chosen if name.endswith(f"rate {rate:g}")] for rate in RATES}
  rates = [rate for rate, names in at_rate.items() if set(names) <= set(fallen)]
  counts = ", ".join(
    f"{len(set(names) & set(fallen))} of {len(names)} at {rate:g}"
    for rate, names in at_rate.items()
  )
  if len(fallen) == len(chosen):
    verdict = HOLDS
  elif rates:
    verdict = f"holds under a large rate ({rates[0]:g}; settings: {counts})"
  else:
    verdict = f"holds under some settings ({counts})" if fallen else DOES_NOT_HOLD

  far = {kind: f"{kind}, beta 0.1, rate {RATES[-1]:g}" for kind in KINDS}
  ends = "; ".join(
    f"{kind}: chosen {_end(chosen[name]).signed()}, rejected {_end(rejected[name]).signed()}"
    for kind, name in far.items()
  )
  nearness = over_seeds(chosen[far[KINDS[0]]][:, -1] - chosen[far[KINDS[1]]][:, -1])
  looser = over_seeds(
    chosen[far[KINDS[0]]][:, -1] - chosen[far[KINDS[0]].replace("0.1", "1")][:, -1]
  )
  summary = (
    f"Settings where both fall: {counts}. Change of the log-probs in nats, at beta 0.1 and rate "
    f"{RATES[-1]:g}: {ends}. Near misses lower the chosen one by {nearness.signed()} more than "
    f"other words do, beta 0.1 by {looser.signed()} more than beta 1."
  )
  subclaims = [Subclaim(f"{name}: both fall", name in fallen) for name in chosen]
  subclaims += [
    Subclaim("near misses lower the chosen response more than other words", nearness.high < 0),
    Subclaim("a smaller beta lowers the chosen response more", looser.high < 0),
  ]
  figures = [
    figure(f"{side}, {name}, nats", h[name][:, -1])
    for name in chosen
    for side, h in (("chosen", chosen), ("rejected", rejected))
  ]
  between = STEPS / next(iter(chosen.values())).shape[1]
  # Metrics are means over the steps between two snapshots: drawn in the middle of these.
  middles = between * (np.arange(STEPS // between) + 0.5)
  plots = [
    Plot(
      f"Pairs: {kind}",
      "step",
      "log-prob since the start, nats a response",
      [
        curve(f"{side}, {name.partition(', ')[2]}", middles, h[name])
        for side, h in (("chosen", chosen), ("rejected", rejected))
        for name in chosen
        if name.startswith(kind)
      ],
    )
    for kind in KINDS
  ]
  return Finding(verdict, summary, figures, plots, subclaims)


def _falls(h: np.ndarray) -> bool:
  return _end(h).high < 0


def _end(h: np.ndarray) -> Estimate:
  return over_seeds(h[:, -1])
