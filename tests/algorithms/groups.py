"""Random groups for the tests of the losses, in the vocabulary of their arguments."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np

from algorithms import LOSSES

PER_TOKEN = ("logps", "old_logps", "ref_logps", "entropy", "values", "old_values")

# Losses whose options open another branch are tested once for each.
VARIANTS = {
  "sft": {},
  "dpo": {},
  "dpo_all_pairs": {"pairs": "all"},
  "dpo_smoothed": {"label_smoothing": 0.1},
  "grpo": {},
  "grpo_with_kl": {"beta": 0.1},
  "off_policy_grpo": {},
  "off_policy_grpo_sequence": {"ratio": "sequence"},
  "offline_grpo": {},
  "offline_grpo_standardized": {"weights": "standardized"},
  "offline_grpo_dpo": {"weights": "dpo"},
}


def cases():
  """(name, loss, options): every loss of the table at its defaults, and every variant above."""
  longest_first = sorted(LOSSES, key=len, reverse=True)
  for name, options in VARIANTS.items():
    family = next(loss for loss in longest_first if name.startswith(loss))
    yield name, LOSSES[family], options
  for name in LOSSES.keys() - VARIANTS.keys():
    yield name, LOSSES[name], {}


def random_groups(seed=0, b=4, k=4, t=6, dtype=jnp.float32, distance=0.3):
  """Arrays for any loss: policies `distance` nats a token apart, ragged lengths, one tied group."""
  rng = np.random.default_rng(seed)
  logps = -rng.exponential(1.0, (b, k, t))
  lengths = rng.integers(1, t + 1, (b, k))
  lengths[0, 0] = t
  rewards = rng.integers(0, 2, (b, k)).astype(float)
  rewards[:, 0], rewards[:, 1] = 1.0, 0.0
  rewards[-1] = 1.0
  arrays = {
    name: jnp.asarray(logps + (i > 0) * distance * rng.normal(size=logps.shape), dtype)
    for i, name in enumerate(PER_TOKEN)
  }
  arrays["rewards"] = arrays["scores"] = jnp.asarray(rewards, dtype)
  arrays["mask"] = jnp.asarray(np.arange(t) < lengths[..., None])
  return arrays


def arrays_of(loss, arrays):
  """Those of the arrays that the loss's signature names."""
  parameters = inspect.signature(loss).parameters.values()
  names = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
  return {name: arrays[name] for name in names}


def call(loss, arrays, **options):
  """The loss with those of the arrays that it wants, operation by operation."""
  return loss(**arrays_of(loss, arrays), **options)


@functools.partial(jax.jit, static_argnums=(0, 2, 3))
def _evaluate(loss, arrays, options, name):
  def value(x):
    return call(loss, arrays | {name: x}, **dict(options))

  (loss_value, metrics), gradient = jax.value_and_grad(value, has_aux=True)(arrays[name])
  return loss_value, metrics, gradient


def evaluate(loss, arrays, options, name="logps"):
  """(loss, metrics, gradient with respect to the named array), jitted."""
  return _evaluate(loss, arrays, tuple(sorted(options.items())), name)
