"""Answers that are drawn together, a segment at a time, each by numbers and random keys of its own.

Programs are compiled for few shapes: 1, 8 or 32 answers; prompts of 32, 64, 128, ... tokens; and
room for 16, 32, 64, ... tokens of an answer, in which a segment ends. What a row draws depends on
its prompt, its key and its numbers, not on the rows beside it (but for rounding, in other shapes).
"""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np

from models.decoding import Drawing
from models.sampler import OfRows, Sampler
from models.transformer import Params
from serving.answer import Answer
from tasks.tokenizers.tokenizer import left_pad
from training.compiled_sampling import compiled_beginning, compiled_continuation
from training.parts import Parts

SIZES = (1, 8, 32)  # answers
SHORTEST_PROMPT = 32  # tokens
FIRST_SEGMENT = 16  # tokens
CHEAP = 4096  # tokens of a vocabulary that are sorted in no time: one program serves any top_p


@dataclasses.dataclass(frozen=True)
class Row:
  """One answer to draw. `key` are a seed and the answer's number."""

  prompt: Sequence[int]
  temperature: float
  top_p: float
  key: tuple[int, int]
  answer: Answer


def doubled(least: int, needed: int) -> int:
  """The first of least, 2 least, 4 least, ... that is no less than `needed`."""
  while least < needed:
    least *= 2
  return least


class Batch:
  """Up to 32 answers of one policy. Call `advance` until `is_done`."""

  def __init__(self, parts: Parts, params: Params, rows: Sequence[Row]):
    self._parts, self._params, self.rows = parts, params, rows
    tokenizer = parts.task.tokenizer
    size = next(size for size in SIZES if size >= len(rows))
    filled = [*rows, *[rows[0]] * (size - len(rows))]
    longest = doubled(SHORTEST_PROMPT, max(len(row.prompt) for row in rows))
    self._prompts = left_pad([row.prompt for row in filled], longest, tokenizer.pad_id)
    self._keys = _keys(*np.array([row.key for row in filled], np.uint32).T)
    top_p = np.array([row.top_p for row in filled], np.float32)
    temperature = np.array([row.temperature for row in filled], np.float32)
    sorts = parts.model.vocab_size <= CHEAP or (top_p < 1).any()
    self._numbers = OfRows(temperature, top_p if sorts else None)
    self._sampler = Sampler(0, tokenizer.eos_ids, tokenizer.pad_id)
    self._drawing: Drawing | None = None
    self._length = 0

  @property
  def is_done(self) -> bool:
    return all(row.answer.finish_reason for row in self.rows)

  def advance(self) -> None:
    """Draws a segment more and feeds it to the answers."""
    before, self._length = self._length, 2 * self._length or FIRST_SEGMENT
    about, mesh = (self._keys, self._numbers), self._parts.mesh
    of_shape = (self._parts.model, self._sampler, mesh, self._length)
    if self._drawing is None:
      drawing = compiled_beginning(*of_shape)(self._params, *self._prompts, *about)
    else:
      drawing = compiled_continuation(*of_shape)(self._params, self._drawing, None, *about)
    self._drawing = drawing
    drawn = jax.device_get((drawing.responses, drawing.mask, drawing.logps))
    tokens, mask, logps = jax.tree.map(lambda x: x[:, 0, before:], drawn)
    for i, row in enumerate(self.rows):
      kept = mask[i]
      row.answer.feed(tokens[i][kept], logps[0][i][kept], logps[-1][i][kept])


@jax.jit
def _keys(seeds, numbers):
  """A key for each answer: of its request's seed and its own number."""
  return jax.vmap(lambda seed, n: jax.random.fold_in(jax.random.key(seed), n))(seeds, numbers)
