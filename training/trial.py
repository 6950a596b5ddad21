"""A loss tried on shapes before anything is loaded: does it return what training can use?"""

import jax
import jax.numpy as jnp

from algorithms.shapes import VOCABULARY
from training.errors import UserError
from training.parts import Parts


def check_loss(parts: Parts) -> None:
  """UserError, naming the loss, unless it returns (scalar, {name: scalar}) for the arrays it names.

  It is traced as in training, its numbers being no constants, and nothing is computed.
  """
  name, loss = f"loss {parts.config.algorithm.loss}", parts.loss
  k = parts.config.group_size
  # No two axes are as long: shapes that fit by chance would hide a slip.
  sizes = {"B": k + 1, "K": k, "T": k + 2, "N": k + 3, "R": len(parts.task.reward_names)}
  arrays = {
    word: jax.ShapeDtypeStruct(
      [sizes[axis] for axis in VOCABULARY[word][0].split()], bool if word == "mask" else jnp.float32
    )
    for word in loss.words
  }

  def call(arrays, numbers):
    found = loss.function(**arrays, **numbers, **dict(loss.options))
    if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], dict)):
      raise UserError(
        f"{name} must return (loss, metrics), the metrics a dict: `return loss, {{}}`"
      )
    return found

  try:
    value, metrics = jax.eval_shape(call, arrays, loss.numbers)
  except UserError:
    raise
  except jax.errors.ConcretizationTypeError as error:
    first = str(error).partition("\n")[0]
    raise UserError(
      f"{name} asks for the value of an array or a number, which is known only when training "
      f"computes: write jnp.where, not `if` ({first})"
    ) from error
  except Exception as error:  # the user's code may raise anything
    raise UserError(f"{name} raised {type(error).__name__}: {error}") from error
  if parts.config.reference.target_kl and "kl" not in metrics:
    raise UserError(
      f"reference.target_kl={parts.config.reference.target_kl:g}: {name} logs no 'kl' that could "
      "be held there"
    )
  wrong = {"its loss": value} | {f"its metric {key!r}": x for key, x in metrics.items()}
  for what, found in wrong.items():
    if found.shape:
      raise UserError(
        f"{name}: {what} has shape {found.shape}; it must be one number, such as a mean"
      )
