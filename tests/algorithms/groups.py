"""Random groups for the tests of the losses, in the vocabulary of their arguments."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args, get_origin

import jax
import jax.numpy as jnp
import numpy as np

from algorithms import LOSSES
from algorithms.shapes import COMPUTED, VOCABULARY

PER_TOKEN = tuple(word for word, (axes, _) in VOCABULARY.items() if axes == "B K T")

# Choices that every loss hands on to one function are tested on one loss.
TESTED_ON = {"divergence": "dpo", "kl": "grpo"}


def cases() -> Iterator[tuple[str, Callable, dict[str, str | bool]]]:
  """(name, loss, options): every loss of the table at its defaults, then with its other choices.

  The second case has the second choice of every text and bool, the third the third, and so on;
  `terms` are the numbers that go with them.
  """
  for name, loss in LOSSES.items():
    types = inspect.get_annotations(loss)
    others = {p.name: _other_choices(p.default, types[p.name]) for p in hyperparameters(loss)}
    others = {key: choices for key, choices in others.items() if TESTED_ON.get(key, name) == name}
    yield name, loss, {}
    for i in range(max(map(len, others.values()), default=0)):
      options = {key: choices[i] for key, choices in others.items() if i < len(choices)}
      yield f"{name}-{','.join(f'{key}={value}' for key, value in options.items())}", loss, options


def terms(loss) -> dict[str, float]:
  """Numbers that turn on what is off by default: a KL term, label smoothing, ddof=1."""
  off = [p.name for p in hyperparameters(loss) if not isinstance(p.default, bool) and not p.default]
  return {name: 1.0 if name == "ddof" else 0.1 for name in off}


def hyperparameters(loss) -> list[inspect.Parameter]:
  return [p for p in inspect.signature(loss).parameters.values() if p.kind is p.KEYWORD_ONLY]


def _other_choices(default: Any, annotation: Any) -> list[str | bool]:
  if isinstance(default, bool):
    return [not default]
  choices = get_args(annotation) if get_origin(annotation) is Literal else ()
  return [choice for choice in choices if choice != default]


def random_groups(seed=0, b=4, k=4, t=6, dtype=jnp.float32, distance=0.3) -> dict[str, jax.Array]:
  """All words of the vocabulary, by name: policies `distance` nats a token apart, ragged lengths,
  the last group a tie."""
  rng = np.random.default_rng(seed)
  logps = -rng.exponential(1.0, (b, k, t))
  lengths = rng.integers(1, t + 1, (b, k))
  lengths[0, 0] = t
  rewards = rng.integers(0, 3, (b, k)) / 2
  rewards[:, 0] = 1.0
  rewards[:, 1:2] = 0.0
  rewards[-1] = 1.0
  first_part = rng.integers(0, 2, (b, k)) / 2
  values = rng.normal(size=logps.shape)
  arrays = {
    "logps": logps,
    "old_logps": logps + distance * rng.normal(size=logps.shape),
    "ref_logps": logps + distance * rng.normal(size=logps.shape),
    "sampler_logps": logps + distance * rng.normal(size=logps.shape),
    "entropy": rng.exponential(1.0, logps.shape),
    "log_sum_sq_probs": -rng.exponential(1.0, logps.shape),
    "values": values,
    "old_values": values + distance * rng.normal(size=logps.shape),
    "rewards": rewards,
    "scores": rng.normal(size=rewards.shape),
    "reward_baseline": np.full_like(rewards, 0.3),
    "reward_parts": np.stack([first_part, rewards - first_part], axis=2),
    "greedy_rewards": rng.integers(0, 3, b) / 2,
    "reference_rewards": rng.integers(0, 3, (b, 5)) / 2,
    "by_reference": np.broadcast_to(np.arange(k) % 2, (b, k)),
  }
  mask = jnp.asarray(np.arange(t) < lengths[..., None])
  return {name: jnp.asarray(x, dtype) for name, x in arrays.items()} | {"mask": mask}


def arrays_of(loss, arrays):
  """The arrays that the loss's signature names."""
  parameters = inspect.signature(loss).parameters.values()
  names = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
  return {name: arrays[name] for name in names}


def policy_word(loss) -> str:
  """The array that the gradient is about: log-probs, or a reward model's scores."""
  return next(word for word in ("logps", "scores") if word in inspect.signature(loss).parameters)


def trained_words(loss) -> list[str]:
  """The loss's arrays that a network gives, all of them."""
  return [word for word in COMPUTED if word in inspect.signature(loss).parameters]


def call(loss, arrays, **options):
  """The loss of the arrays that it names, operation by operation.

  So each operation is compiled once for all losses, if their arrays have the same shapes.
  """
  return loss(**arrays_of(loss, arrays), **options)


def evaluate(loss, arrays, options: dict[str, Any], name: str | None = None):
  """(loss, metrics, gradient with respect to the named array), operation by operation."""
  value, metrics, gradients = evaluate_all(loss, arrays, options)
  return value, metrics, gradients[name or policy_word(loss)]


def evaluate_all(loss, arrays, options: dict[str, Any]):
  """(loss, metrics, {array: gradient with respect to it}), for every array but the mask."""
  given = arrays_of(loss, arrays)
  mask = given.pop("mask")
  (value, metrics), gradients = jax.value_and_grad(
    lambda numbers: loss(**numbers, mask=mask, **options), has_aux=True
  )(given)
  return value, metrics, gradients
