"""Optimizers and learning-rate schedules: two tables over optax, and the step that both serve.

  p  <-  p - learning_rate * schedule * (direction + weight_decay * p)

An optimizer turns gradients into that direction, as an optax.GradientTransformation: not negated,
not multiplied by the learning rate, not decayed, for `descend` does this for all of them. A
schedule turns the progress of training into a share of the peak learning rate.

Adding one = one function + one line in its table. Its keyword-only arguments are its own numbers:
they become fields of config.optimizer, with these defaults, types and comments (`Args`), and are
traced, so that another value compiles nothing.
"""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from algorithms.ranges import RANGES
from algorithms.shapes import Fraction, Scalar

Optimizer = Callable[..., optax.GradientTransformation]
Schedule = Callable[..., Scalar]  # (progress, and its own numbers) -> share of the peak
Decay = Annotated[Scalar, RANGES["Decay"]]  # share of the past that is kept


# --- optimizers: the direction to go down ---------------------------------------------------------


def adamw(*, b1: Decay = 0.9, b2: Decay = 0.95) -> optax.GradientTransformation:
  """m / (sqrt(v) + 1e-8), both without their bias (Loshchilov & Hutter, 2019).

  Args:
    b1: decay of the first moment, m, a running mean of gradients
    b2: decay of the second moment, v, a running mean of their squares
  """
  return optax.scale_by_adam(b1=b1, b2=b2)


def adamw_bf16(*, b1: Decay = 0.9, b2: Decay = 0.95) -> optax.GradientTransformation:
  """AdamW that keeps its first moment in bfloat16: 6 bytes a parameter instead of 8.

  Args:
    b1: decay of the first moment
    b2: decay of the second moment, which stays float32
  """
  return optax.scale_by_adam(b1=b1, b2=b2, mu_dtype=jnp.bfloat16)


def sgd(*, momentum: Decay = 0.9) -> optax.GradientTransformation:
  """t <- gradient + momentum * t: no running mean, so at 0.9 steps are ten times a gradient.

  Args:
    momentum: share of the last direction that is kept; 0 goes down the gradient itself
  """
  return optax.trace(decay=momentum)


def lion(*, b1: Decay = 0.9, b2: Decay = 0.99) -> optax.GradientTransformation:
  """sign(b1 * m + (1 - b1) * gradient) (Chen et al., 2023): wants a tenth of AdamW's learning rate.

  Args:
    b1: weight of the running mean, m, in the direction
    b2: decay of the running mean of gradients
  """
  return optax.scale_by_lion(b1=b1, b2=b2)


def muon(
  *, momentum: Decay = 0.95, b1: Decay = 0.9, b2: Decay = 0.95
) -> optax.GradientTransformation:
  """Momentum with all its singular values brought near 1 (Jordan et al., 2024), for the matrices.

  They are the linear layers, adapters' among them, stacked [layers, in, out]. All else (embedding,
  head, norms, biases) goes by Adam. A matrix's direction is made as long as Adam's usually is, 0.2
  an entry (Liu et al., 2025, eq. 4), so that both take AdamW's learning rate.

  Args:
    momentum: decay of the running mean of the matrices' gradients
    b1: decay of Adam's first moment, of what is no matrix
    b2: decay of Adam's second moment
  """
  axes = optax.contrib.MuonDimensionNumbers(reduction_axis=1, output_axis=2)

  def as_long_as_adams(directions, params):
    del params
    return jax.tree.map(lambda d: 0.2 * max(d.shape[1:]) ** 0.5 * d, directions)

  of_matrices = optax.contrib.scale_by_muon(
    beta=momentum, weight_dimension_numbers=lambda tree: jax.tree.map(lambda _: axes, tree)
  )
  return optax.partition(
    {
      "matrix": optax.chain(of_matrices, optax.stateless(as_long_as_adams)),
      "other": optax.scale_by_adam(b1=b1, b2=b2),
    },
    lambda tree: jax.tree.map(lambda leaf: "matrix" if leaf.ndim == 3 else "other", tree),
  )


OPTIMIZERS = {
  "adamw": adamw,
  "adamw_bf16": adamw_bf16,
  "sgd": sgd,
  "lion": lion,
  "muon": muon,
}


# --- schedules: shares of the peak learning rate, by a progress of 0 (warmed up) to 1 (the end) ---


def constant(progress: Scalar) -> Scalar:
  """The peak, to the end."""
  del progress
  return 1.0


def linear(progress: Scalar) -> Scalar:
  """Straight down to 0."""
  return 1.0 - progress


def cosine(progress: Scalar) -> Scalar:
  """Half a wave down to 0 (Loshchilov & Hutter, 2017)."""
  return 0.5 * (1.0 + jnp.cos(jnp.pi * progress))


def wsd(progress: Scalar, *, decay_share: Fraction = 0.2) -> Scalar:
  """Warm-up, stable, decay (Hu et al., 2024): the peak, then straight down to 0.

  Args:
    decay_share: share of the updates after the warm-up in which it goes down
  """
  return jnp.minimum(1.0, (1.0 - progress) / jnp.maximum(decay_share, 1e-6))


SCHEDULES = {
  "constant": constant,
  "linear": linear,
  "cosine": cosine,
  "wsd": wsd,
}


# --- the step -------------------------------------------------------------------------------------


def descend(
  optimizer: Optimizer,
  schedule: Schedule,
  numbers: dict[str, Any],
  count: Int[Array, ""],
  trained: dict[str, Any],
  moments: Any,
  gradient: dict[str, Any],
) -> tuple[dict[str, Any], Any, dict[str, Array]]:
  """(trained, moments, metrics) after one step down the gradient, clipped by its whole norm.

  Args:
    numbers: of config.optimizer, as `Parts.numbers` gives them; they may be traced.
    count: steps so far.
    trained: the parts that are moved ("params", "critic"); the gradient has the same.
    moments: what `optimizer().init(trained)` began.
  """
  learning_rate = scheduled(count, numbers, schedule)
  gradient_norm = optax.tree.norm(gradient)
  clip = jnp.minimum(1.0, numbers["max_grad_norm"] / jnp.maximum(gradient_norm, 1e-12))
  gradient = jax.tree.map(lambda g: g * clip, gradient)
  transformation = optimizer(**_own(optimizer, numbers))
  direction, moments = transformation.update(gradient, moments, trained)
  trained = jax.tree.map(
    lambda p, d: p - learning_rate * (d + numbers["weight_decay"] * p), trained, direction
  )
  return trained, moments, {"grad_norm": gradient_norm, "learning_rate": learning_rate}


def scheduled(
  count: Int[Array, ""], numbers: dict[str, Any], schedule: Schedule
) -> Float[Array, ""]:
  """The learning rate: a linear warm-up to the peak, from where the schedule goes on."""
  warmup_steps = numbers["warmup_steps"]
  warmup = jnp.minimum(1.0, (count + 1) / jnp.maximum(warmup_steps, 1.0))
  left = jnp.maximum(numbers["steps"] - warmup_steps, 1.0)
  progress = jnp.clip((count - warmup_steps) / left, 0.0, 1.0)
  return numbers["learning_rate"] * warmup * schedule(progress, **_own(schedule, numbers))


def _own(function: Callable, numbers: dict[str, Any]) -> dict[str, Any]:
  """The numbers that the function's keyword-only arguments name."""
  parameters = inspect.signature(function).parameters.values()
  names = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
  return {name: numbers[name] for name in names if name in numbers}
