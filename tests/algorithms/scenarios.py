"""The situations that the contract is about, all of one shape: one compiled program a loss.

Scenarios and hyperparameters are axes of that program. Evaluated one by one, operation by
operation, fifty losses would take minutes; compiled one by one, a quarter of an hour.
"""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from algorithms.ranges import RANGES, Range
from algorithms.shapes import VOCABULARY
from tests.algorithms.groups import (
  PER_TOKEN,
  arrays_of,
  evaluate_all,
  hyperparameters,
  random_groups,
  terms,
)

Arrays = dict[str, np.ndarray]  # numpy's, for which nothing has to be compiled
GROUPS, RESPONSES = np.array([2, 0, 3, 1]), np.array([3, 1, 0, 2])  # the shuffled order
FLOATS = tuple(word for word in PER_TOKEN if word != "mask")
UNSCORED = (0, 2)  # the group and response without a score


class Evaluated(NamedTuple):
  value: np.ndarray
  metrics: dict[str, np.ndarray]
  gradients: dict[str, np.ndarray]  # by array


def at_the_reference(arrays: Arrays) -> Arrays:
  """Makes all policies one."""
  return arrays | dict.fromkeys(("ref_logps", "old_logps", "sampler_logps"), arrays["logps"])


def holding(array: np.ndarray, where: Any, value: float) -> np.ndarray:
  """A copy of the array with this value at `where`."""
  copy = array.copy()
  copy[where] = value
  return copy


def with_rewards(arrays: Arrays, change: Callable[[np.ndarray], np.ndarray]) -> Arrays:
  """Changes the rewards, their parts, their running mean and those of others alike."""
  words = ("rewards", "reward_parts", "reward_baseline", "greedy_rewards", "reference_rewards")
  return arrays | {word: change(arrays[word]) for word in words}


def unscored(arrays: Arrays, where: Any) -> Arrays:
  words = ("rewards", "reward_parts")
  return arrays | {word: holding(arrays[word], where, np.nan) for word in words}


def without(arrays: Arrays, where: Any) -> Arrays:
  """Takes all tokens from the responses at `where`."""
  return arrays | {"mask": holding(arrays["mask"], where, False)}


def tied(arrays: Arrays) -> Arrays:
  """Rewards that differ by prompt only."""
  rewards = np.broadcast_to(np.arange(4.0, dtype=np.float32)[:, None], (4, 4))
  return arrays | {"rewards": rewards, "reward_parts": np.stack([rewards, -rewards / 2], axis=2)}


def shuffled(arrays: Arrays) -> Arrays:
  return {name: in_shuffled_order(name, x) for name, x in arrays.items()}


def in_shuffled_order(name: str, x: np.ndarray) -> np.ndarray:
  """The array of this name with its groups, and its responses if it has any, in another order."""
  return x[GROUPS][:, RESPONSES] if has_responses(name) else x[GROUPS]


def has_responses(name: str) -> bool:
  """Whether the array of this name has an axis for the K responses."""
  return "K" in VOCABULARY[name][0].split()


def padding_holds(arrays: Arrays, garbage: float, words: Iterable[str] = FLOATS) -> Arrays:
  held = {word: holding(arrays[word], ~arrays["mask"], garbage) for word in words}
  return arrays | held


def extreme_logps(arrays: Arrays) -> Arrays:
  """Log-probs of -1e4, for each policy in another group."""
  policies = ("logps", "ref_logps", "old_logps", "sampler_logps")
  far = {word: holding(arrays[word], i, -1e4) for i, word in enumerate(policies)}
  return arrays | far | {"log_sum_sq_probs": holding(arrays["log_sum_sq_probs"], 0, -1e4)}


def certain(arrays: Arrays) -> Arrays:
  """Every token had probability 1."""
  words = ("logps", "entropy", "log_sum_sq_probs")
  return arrays | {word: np.zeros_like(arrays[word]) for word in words}


SCENARIOS: dict[str, Callable[[Arrays], Arrays]] = {
  "plain": lambda a: a,
  "at the reference": at_the_reference,
  "equal lengths": lambda a: at_the_reference(a) | {"mask": np.ones_like(a["mask"])},
  "shuffled": shuffled,
  "rewards shifted": lambda a: with_rewards(a, lambda r: r + 8),
  "rewards scaled": lambda a: with_rewards(a, lambda r: 4 * r),
  "rewards in the same order": lambda a: with_rewards(a, np.square),
  "rewards of a million": lambda a: with_rewards(a, lambda r: 1e6 * (2 * r - 1)),
  "ties": tied,
  "ties at the reference": lambda a: tied(at_the_reference(a)),
  "-inf at padded log-probs": lambda a: padding_holds(a, -np.inf, ("logps",)),
  "-inf at all padding": lambda a: padding_holds(a, -np.inf),
  "NaN at all padding": lambda a: padding_holds(a, np.nan),
  "one token each": lambda a: a | {"mask": a["mask"] & (np.arange(6) == 0)},
  "a response without tokens": lambda a: without(a, (1, 2)),
  "a group without tokens": lambda a: without(a, 1),
  "no tokens at all": lambda a: without(a, slice(None)),
  "an unscored response": lambda a: unscored(a, UNSCORED),
  "an unscored response at the reference": lambda a: unscored(at_the_reference(a), UNSCORED),
  "an absent response": lambda a: without(a, UNSCORED),
  "a group that was filled up": lambda a: without(unscored(a, (0, slice(2, 4))), (0, slice(2, 4))),
  "one response, filled up": lambda a: without(unscored(a, (0, slice(1, 4))), (0, slice(1, 4))),
  "an unscored group": lambda a: unscored(a, 1),
  "nothing scored": lambda a: unscored(a, slice(None)),
  "log-probs of -1e4": extreme_logps,
  "certain tokens": certain,
}


def settings(loss: Callable) -> dict[str, dict[str, float]]:
  """Hyperparameters by name: the defaults, what is off by default on, and the ends of ranges.

  "wide": upper clips above 1, which no lower clip may be.
  """
  defaults = {p.name: p.default for p in hyperparameters(loss)}
  defaults = {name: float(x) for name, x in defaults.items() if not isinstance(x, str | bool)}
  with_terms = defaults | terms(loss)
  found = {"defaults": defaults, "terms": with_terms}
  found["less"] = {name: 0.9 * x for name, x in with_terms.items()}
  found["less"] |= {"k": with_terms["k"] + 1} if "k" in with_terms else {}  # 2 is the least
  low, high, wide = dict(with_terms), dict(with_terms), dict(with_terms)
  for name, limit in ranges(loss).items():
    wide |= {name: 3.0} if limit == RANGES["UpperClip"] else {}
    low |= {name: limit.low} if limit.closed in ("low", "both") else {}
    high |= {name: limit.high} if limit.closed in ("high", "both") else {}
  return found | {"lowest": low, "highest": high, "wide": wide}


def ranges(loss: Callable) -> dict[str, Range]:
  """The range of each hyperparameter that has one."""
  types = inspect.get_annotations(loss)
  found = {p.name: getattr(types[p.name], "__metadata__", ()) for p in hyperparameters(loss)}
  return {name: of[0] for name, of in found.items() if of}


def _rows(loss: Callable) -> Iterator[tuple[str, str]]:
  yield from ((scenario, setting) for scenario in SCENARIOS for setting in ("defaults", "terms"))
  yield from (("plain", setting) for setting in ("less", "lowest", "highest", "wide"))
  yield "log-probs of -1e4", "wide"


@functools.cache
def plain() -> Arrays:
  return jax.tree.map(np.asarray, random_groups())


@functools.cache
def _stacked_scenarios(rows: tuple[str, ...]) -> Arrays:
  every = {name: change(plain()) for name, change in SCENARIOS.items()}
  return jax.tree.map(lambda *x: np.stack(x), *(every[row] for row in rows))


@functools.cache
def _run(loss: Callable, options: tuple) -> dict[tuple[str, str], Evaluated]:
  rows, numbers = list(_rows(loss)), settings(loss)
  arrays = arrays_of(loss, _stacked_scenarios(tuple(scenario for scenario, _ in rows)))
  columns = {
    name: np.array([numbers[setting][name] for _, setting in rows], np.float32)
    for name in numbers["terms"]
  }
  program = jax.jit(jax.vmap(lambda a, n: evaluate_all(loss, a, dict(options) | n)))
  results = jax.tree.map(np.asarray, program(arrays, columns))
  one = [Evaluated(*jax.tree.map(lambda x: x[i], results)) for i in range(len(rows))]  # noqa: B023
  return dict(zip(rows, one, strict=True))


def every_row(loss: Callable, options: Mapping[str, Any]) -> dict[tuple[str, str], Evaluated]:
  """{(scenario, setting): the loss, its metrics and its gradients}, compiled, in float32."""
  return _run(loss, tuple(sorted(options.items())))


def compiled(
  loss: Callable, options: Mapping[str, Any], scenario: str = "plain", setting: str = "terms"
) -> Evaluated:
  """One row of `every_row`."""
  return every_row(loss, options)[scenario, setting]
