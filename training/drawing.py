"""Responses to a batch of prompts, drawn in segments where they may be long.

Most responses end long before `max_tokens`. So the first segment has room for few tokens, and each
later one for twice as many; between two of them the responses that have ended leave, and the others
move together into fewer rows. The draws are those of one long program: a response's random numbers
go with its prompt's row of the batch and its own number, wherever it stands.
"""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Int

from models.decoding import Drawing
from models.sampler import Sampler
from models.sampling import Samples, number_of_cuts
from models.transformer import Params
from training import hosts
from training.compiled_sampling import (
  compiled_beginning,
  compiled_continuation,
  compiled_sampler,
)
from training.parts import Parts
from training.population.membership import member_here

FIRST = 64  # tokens of the first segment; prompts have the least such number that holds them
WORTH = 0.75  # responses move if they then need at most this share of the places


def draw(
  parts: Parts,
  sampler: Sampler,
  params: Params,
  prompts: Int[np.ndarray, "b P"],
  prompt_mask: Bool[np.ndarray, "b P"],
  key: jax.Array,
  temperature: float,
) -> Samples:
  """Responses to this process's prompts, as numpy arrays; all processes draw theirs together.

  In one segment if `max_tokens` are few, in a population, whose members draw in step, and where
  `prompts_at_once` cuts the batch.
  """
  mesh, ends = parts.mesh, segments(sampler.max_tokens)
  if not member_here():
    lengths = hosts.gather(mesh, prompt_mask.sum(axis=-1))
    columns = _columns(int(lengths.max()), prompts.shape[1])
    prompts, prompt_mask = prompts[:, -columns:], prompt_mask[:, -columns:]
  read = hosts.to_global(mesh, (prompts, prompt_mask))
  is_cut = number_of_cuts(read[0].shape[0], sampler.prompts_at_once) > 1
  if len(ends) == 1 or is_cut or member_here():
    sample = compiled_sampler(parts.model, sampler, mesh)
    return hosts.to_local(sample(params, *read, key, temperature))

  drawing = compiled_beginning(parts.model, sampler, mesh, ends[0])(params, *read, key, temperature)
  places, found = Places.all_of(len(prompts), sampler.group_size), _nothing(prompts, sampler)
  for end in ends[1:]:
    ended = hosts.gather(mesh, places.write(drawing, found))
    if ended.all():
      return found
    move = moves(ended, parts.update_spec.shards)
    go_on = compiled_continuation(parts.model, sampler, mesh, end)
    if move is not None:
      move = hosts.mine(mesh, move)
      places = places.moved(*move)
      move = hosts.to_global(mesh, move)
    drawing = go_on(params, drawing, move, key, temperature)
  places.write(drawing, found)
  return found


def segments(max_tokens: int) -> list[int]:
  """Where segments end: 64, 128, 256, ... and `max_tokens`; short responses have one."""
  ends = [FIRST]
  while 2 * ends[-1] < max_tokens:
    ends.append(2 * ends[-1])
  return [*ends, max_tokens] if max_tokens > 2 * FIRST else [max_tokens]


class Places(NamedTuple):
  """Which response of this process each place of a `Drawing` has: its row, or -1, and number."""

  row: Int[np.ndarray, "B K"]
  response: Int[np.ndarray, "B K"]

  @classmethod
  def all_of(cls, rows: int, group_size: int) -> "Places":
    return cls(*np.indices((rows, group_size)))

  def moved(self, row: Int[np.ndarray, "F b"], slot: Int[np.ndarray, "F b k"]) -> "Places":
    """The places after `decoding.moved`."""
    parts, k = len(row), slot.shape[-1]

    def of(x):
      taken = np.stack([part[i] for part, i in zip(np.split(x, parts), row, strict=True)])
      return np.take_along_axis(taken, np.maximum(slot, 0), axis=-1)

    places = np.where(slot < 0, -1, of(self.row)), of(self.response)
    return Places(*(x.reshape(-1, k) for x in places))

  def write(self, drawing: Drawing, found: Samples) -> Bool[np.ndarray, "B K"]:
    """Writes what is drawn so far into the samples; returns which have ended."""
    ended, responses, mask, logps = hosts.to_local(
      (drawing.ended, drawing.responses, drawing.mask, drawing.logps)
    )
    there, length = self.row >= 0, responses.shape[-1]
    at = self.row[there], self.response[there]
    found.finished[at] = ended[there]
    drawn = mask[there]
    found.mask[(*at, slice(length))] = drawn
    found.responses[(*at, slice(length))] = np.where(
      drawn, responses[there], found.responses[(*at, slice(length))]
    )
    for of_found, of_drawing in zip((found.logps, found.drawn_logps), logps, strict=False):
      of_found[(*at, slice(length))] = np.where(drawn, of_drawing[there], 0)
    return ended


def moves(
  ended: Bool[np.ndarray, "B K"], parts: int
) -> tuple[Int[np.ndarray, "F b"], Int[np.ndarray, "F b k"]] | None:
  """How responses that go on can move together, as `decoding.moved` has it; None: not worth it.

  Each part of the batch keeps its own. A row has one prompt, so its responses can be fewer, and
  its prompt in several rows; k and b are powers of two, so that there are few shapes.
  """
  rows, k = ended.shape[0] // parts, ended.shape[1]
  going = (~ended).reshape(parts, rows, k)
  sizes = [2**i for i in range(k.bit_length()) if 2**i <= k]
  needed = {
    size: max(1, int((-(-going.sum(axis=-1) // size)).sum(axis=-1).max())) for size in sizes
  }
  places = {size: (1 << (n - 1).bit_length()) * size for size, n in needed.items()}
  size = min(sizes, key=lambda size: (places[size], -size))
  if places[size] > WORTH * rows * k:
    return None
  count = places[size] // size
  row, slot = np.zeros((parts, count), np.int32), np.full((parts, count, size), -1, np.int32)
  for f in range(parts):
    at = 0
    for r in range(rows):
      which = np.flatnonzero(going[f, r])
      for piece in np.split(which, range(size, len(which), size)) if len(which) else []:
        row[f, at], slot[f, at, : len(piece)] = r, piece
        at += 1
  return row, slot


def _columns(longest: int, most: int) -> int:
  columns = FIRST
  while columns < longest:
    columns *= 2
  return min(columns, most)


def _nothing(prompts: Int[np.ndarray, "b P"], sampler: Sampler) -> Samples:
  """Samples to be written into."""
  shape = (len(prompts), sampler.group_size, sampler.max_tokens)
  logps = (np.zeros(shape, np.float32) for _ in range(2 if sampler.is_restricted else 1))
  responses = np.full(shape, sampler.pad_id, prompts.dtype)
  return Samples(responses, np.zeros(shape, bool), next(logps), np.zeros(shape[:2], bool), *logps)
