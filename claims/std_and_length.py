"""How dividing by the group's standard deviation, or by a length, changes a prompt's weight."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from algorithms.grpo import dapo, dr_grpo, grpo
from algorithms.implied_rewards import implied_rewards
from claims.binomial import prompt_weights
from claims.claim import DOES_NOT_HOLD, HOLDS, Curve, Figure, Finding, Plot, Subclaim

GROUP_SIZES = (2, 4, 8, 16, 64)
SOLVE_RATES = np.linspace(0.01, 0.99, 99)
RARE = 0.02  # "nearly never solved"
AMPLIFIED = 1.1  # times the weight of a prompt solved half of the time
SHORT, LONGEST = 8, 64  # tokens
LENGTHS = np.arange(SHORT, LONGEST + 1, SHORT)
HALF = 49  # the index of the solve rate 0.5


@dataclasses.dataclass(frozen=True)
class Lengths:
  """One loss's weights for each length of the long response.

  token      the weight of a token of it, over that of a token of the short response
  response   the weight of it as a whole, over that of the short response
  neighbour  the weight of a token of another group, over what that is when all are short
  """

  token: np.ndarray
  response: np.ndarray
  neighbour: np.ndarray


def std_and_length() -> Finding:
  """ "Dividing by the group's standard deviation amplifies prompts that are nearly always or never
  solved; Dr. GRPO removes it; and length enters through the reduction over tokens." (Liu et al.,
  2025, Understanding R1-Zero-like training, section 3.)

  Difficulty. A prompt is solved with probability p, rewards are 0 or 1. The expected gradient of a
  loss on groups of K is w(p) grad p, with

    w(p) = E[sum_i R_i (r_i - p)] / (p (1 - p)),   R_i the loss's implied reward of response i

  and the expectation over the binomial number of solved responses, tied groups included. w(p) is
  computed exactly for `grpo` and `dr_grpo`, K = 2 to 64. Without a division it does not depend on
  p. "Amplifies" means w(0.02) and w(0.98) at least 1.1 times w(0.5).

  Length. A group of two has one response of 8 tokens and one of 8 to 64. Implied rewards under
  `grpo` (sequence_mean), `dapo` (token_mean) and `dr_grpo` (constant) give the weight of the long
  response, and of a token of it, relative to the short one; and the weight of a token of another
  group in the batch, whose responses all have 8 tokens.

  It holds if all subclaims do; if only large groups amplify, it holds under those K.
  """
  weights = {
    name: {k: prompt_weights(loss, k, SOLVE_RATES) for k in GROUP_SIZES}
    for name, loss in {"grpo": grpo, "dr_grpo": _dr_grpo}.items()
  }
  reductions = {"grpo": grpo, "dapo": dapo, "dr_grpo": _dr_grpo}
  return finding_of(weights, {name: lengths_of(loss) for name, loss in reductions.items()})


def _dr_grpo(logps, old_logps, rewards, mask):
  return dr_grpo(logps, old_logps, rewards, mask, max_tokens=float(LONGEST))


def lengths_of(loss: Callable) -> Lengths:
  def implied(n: jax.Array) -> jax.Array:
    """Implied rewards of two groups, with responses of 8 and 8, and of 8 and n tokens."""
    tokens = jnp.full((2, 2, 1), SHORT).at[1, 1].set(n)
    mask = jnp.arange(LONGEST) < tokens
    logps = jnp.zeros(mask.shape)
    rewards = jnp.tile(jnp.array([1.0, 0.0]), (2, 1))
    return implied_rewards(loss)(logps=logps, old_logps=logps, rewards=rewards, mask=mask)

  per_token = np.abs(np.asarray(jax.jit(jax.vmap(implied))(LENGTHS), np.float64))
  token = per_token[:, 1, 1] / per_token[:, 1, 0]
  beside = per_token[:, 0, 0] / per_token[0, 0, 0]
  return Lengths(token=token, response=token * LENGTHS / SHORT, neighbour=beside)


def finding_of(weights: dict[str, dict[int, np.ndarray]], lengths: dict[str, Lengths]) -> Finding:
  amplified = {k: _amplification(w) for k, w in weights["grpo"].items()}
  removed = max(float(np.abs(w / w[HALF] - 1).max()) for w in weights["dr_grpo"].values())
  sizes = [k for k, times in amplified.items() if times >= AMPLIFIED]
  amplifying = [
    Subclaim(f"grpo, K = {k}: a prompt solved in {RARE:.0%} weighs {times:.2f} times", k in sizes)
    for k, times in amplified.items()
  ]
  others = [
    Subclaim(f"dr_grpo: no prompt weighs more (within {removed:.0e})", removed < 1e-4),
    *_length_subclaims(lengths),
  ]
  if not sizes or not all(subclaim.holds for subclaim in others):
    verdict = DOES_NOT_HOLD
  elif len(sizes) < len(amplified):
    verdict = f"holds under groups of K = {', '.join(map(str, sizes))}"
  else:
    verdict = HOLDS
  times = ", ".join(f"{amplified[k]:.2f}" for k in amplified)
  summary = (
    f"A prompt solved in {RARE:.0%} weighs {times} times one solved in half under grpo with "
    f"K = {', '.join(map(str, amplified))}: dividing by the spread amplifies large groups only, "
    f"and leaves K = 2 alone. Under dr_grpo all weigh the same."
  )
  figures = [
    *(Figure(f"grpo, K = {k}: w({RARE}) / w(0.5)", times) for k, times in amplified.items()),
    Figure("dr_grpo: largest |w(p) / w(0.5) - 1|, any K", removed),
    *(
      Figure(f"{name}: {what}, {LONGEST} tokens over {SHORT}", float(values[-1]))
      for name, found in lengths.items()
      for what, values in (("weight of a token", found.token), ("of a response", found.response))
    ),
  ]
  return Finding(verdict, summary, figures, _plots(weights, lengths), [*amplifying, *others])


def _amplification(w: np.ndarray) -> float:
  """Returns the smaller of w(0.02) and w(0.98), divided by w(0.5)."""
  ends = [int(np.abs(SOLVE_RATES - p).argmin()) for p in (RARE, 1 - RARE)]
  return float(min(w[ends]) / w[HALF])


def _length_subclaims(lengths: dict[str, Lengths]) -> list[Subclaim]:
  inverse = SHORT / LENGTHS
  token = {name: found.token for name, found in lengths.items()}
  beside = {name: float(found.neighbour[-1]) for name, found in lengths.items()}
  return [
    Subclaim(
      f"sequence_mean: a token of a response {1 / inverse[-1]:.0f} times as long weighs "
      f"{token['grpo'][-1]:.3f}",
      np.allclose(token["grpo"], inverse, rtol=1e-3),
    ),
    Subclaim(
      f"token_mean: it weighs {token['dapo'][-1]:.3f}; those of another group now weigh "
      f"{beside['dapo']:.3f} of what they did",
      np.allclose(token["dapo"], 1, rtol=1e-3) and beside["dapo"] < 0.99,
    ),
    Subclaim(
      f"constant: it weighs {token['dr_grpo'][-1]:.3f}; those of another group now weigh "
      f"{beside['dr_grpo']:.3f} of what they did",
      np.allclose(token["dr_grpo"], 1, rtol=1e-3) and abs(beside["dr_grpo"] - 1) < 1e-3,
    ),
  ]


def _plots(weights: dict[str, dict[int, np.ndarray]], lengths: dict[str, Lengths]) -> list[Plot]:
  flat = weights["dr_grpo"][max(GROUP_SIZES)]
  by_rate = [Curve(f"grpo, K = {k}", SOLVE_RATES, w / w[HALF]) for k, w in weights["grpo"].items()]
  by_rate.append(Curve("dr_grpo, any K", SOLVE_RATES, flat / flat[HALF]))
  token = [Curve(name, LENGTHS, found.token) for name, found in lengths.items()]
  response = [Curve(name, LENGTHS, found.response) for name, found in lengths.items()]
  beside = [Curve(name, LENGTHS, found.neighbour) for name, found in lengths.items()]
  x = f"tokens of the long response (the short has {SHORT})"
  return [
    Plot("Weight of a prompt", "solve rate p", "w(p) / w(0.5)", by_rate),
    Plot("Weight of a token of the long response", x, "over the short one's", token),
    Plot("Weight of the long response as a whole", x, "over the short one's", response),
    Plot("Weight of a token of another group", x, "over that at 8 tokens", beside),
  ]
