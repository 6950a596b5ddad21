"""Groups of unequal lengths, laid out in rows without padding.

A batch is padded to its longest prompt and its longest response, and the network reads the padding
too: of human preference pairs six tokens of seven. Here prompts and responses stand one after the
other in rows of one length: a prompt, responses to it, the next prompt. A response sees its prompt
and itself. What does not fit goes on in another row, the prompt repeated.

A layout says where each token goes. It is made on the host, from lengths alone (`lay_out`), and
moves nothing. The network reads the rows (`read`), computes the tokens that are predicted and no
others, and puts their numbers where `Groups` has them (`unpacked`), so that a loss sees no
difference. A layout has F chunks of B / F neighbouring groups, one for each device and micro-batch,
which share nothing. The numbers of rows and of predictions are steps of a ladder: few shapes, few
programs.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from models.groups import Groups
from models.transformer import Decoder

STEP = 128  # rows are a multiple of it long
EVERY = 8  # the ladder has every number up to it, then 12, 16, 24, 32, 48, ...


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Layout:
  """Where the tokens of B groups go: R rows of L slots a chunk, N of whose tokens are predicted.

  Tokens are numbered as a chunk's groups have them: each its prompt's P columns, then its
  responses' K T. A pytree of int32 arrays.
  """

  source: Any  # [F, R, L], the token in each slot
  position: Any  # [F, R, L], how many tokens it comes after, of its prompt and its response
  prompt: Any  # [F, R, L], which prompt of its row it belongs to, from 1; 0: an empty slot
  response: Any  # [F, R, L], which response to it, from 1; 0: the prompt's own
  predicted: Any  # [F, N], the tokens that are predicted
  before: Any  # [F, N], the slots (of R L) that they are predicted from
  place: Any  # [B, K, T], where among the N each response token is; N: it is not there
  last: Any  # [B, K], the slot of a response's last token, or of its prompt's if it has none


def row_length(most: int, longest: int) -> int:
  """L, which holds `longest` tokens: of the `most` that there may be, or of a half of it, ..."""
  length = _in_steps(most)
  while length > STEP and longest <= _in_steps(length // 2):
    length = _in_steps(length // 2)
  return length


def _in_steps(n: int) -> int:
  return -(-n // STEP) * STEP


def on_ladder(n: int) -> int:
  """The least step of the ladder that is no less than n, which is at least 1."""
  if n <= EVERY:
    return max(1, n)
  octave = EVERY
  while 2 * octave < n:
    octave *= 2
  return octave + octave // 2 if 2 * n <= 3 * octave else 2 * octave


# --- making a layout ------------------------------------------------------------------------------


def lay_out(
  prompt_lengths: Int[np.ndarray, " B"],
  lengths: Int[np.ndarray, "B K"],
  prompt_tokens: int,
  response_tokens: int,
  chunks: int = 1,
) -> Layout:
  """A layout of groups with these lengths, in arrays of P and T columns.

  Prompts are left-padded, responses right-padded. A response of length 0 is not read.
  """
  (b, k), p, t = lengths.shape, prompt_tokens, response_tokens
  length = row_length(p + t, int((prompt_lengths[:, None] + lengths).max()))
  size = b // chunks
  planned = [
    _rows(prompt_lengths[i : i + size], lengths[i : i + size], length) for i in range(0, b, size)
  ]
  rows = on_ladder(max(map(len, planned)))
  predictions = int(lengths.reshape(chunks, -1).sum(axis=1).max())
  predictions = on_ladder(-(-2 * predictions // length)) * length // 2

  slots = np.zeros((4, chunks, rows * length), np.int32)
  predicted = np.zeros((2, chunks, predictions), np.int32)
  place, last = np.full((b, k, t), predictions, np.int32), np.zeros((b, k), np.int32)
  for c, of_chunk in enumerate(planned):
    found = 0
    for r, row in enumerate(of_chunk):
      at = r * length
      for number, (group, responses) in enumerate(row, start=1):
        prompt, start = prompt_lengths[c * size + group], group * (p + k * t)
        own = np.arange(prompt)
        slots[:, c, at : at + prompt] = start + p - prompt + own, own, number * (own >= 0), 0 * own
        at += prompt
        end = at - 1
        last[c * size + group, lengths[c * size + group] == 0] = end
        for response in responses:
          n = lengths[c * size + group, response]
          own = np.arange(n)
          tokens = start + p + response * t + own
          slots[:, c, at : at + n] = tokens, prompt + own, number + 0 * own, response + 1 + 0 * own
          predicted[:, c, found : found + n] = tokens, np.append(end, at + own)[:n]
          place[c * size + group, response, :n] = found + own
          at, found = at + n, found + n
          last[c * size + group, response] = at - 1
  source, position, prompt, response = slots.reshape(4, chunks, rows, length)
  return Layout(source, position, prompt, response, predicted[0], predicted[1], place, last)


def _rows(
  prompt_lengths: Int[np.ndarray, " b"], lengths: Int[np.ndarray, "b K"], length: int
) -> list[list[tuple[int, list[int]]]]:
  """The (group, responses) of each row: the longest groups first, each where it fits."""
  rows, free = [], []

  def put(group: int, responses: list[int], tokens: int) -> None:
    row = next((i for i, space in enumerate(free) if space >= tokens), None)
    if row is None:
      row = len(rows)
      rows.append([])
      free.append(length)
    rows[row].append((group, responses))
    free[row] -= tokens

  whole = prompt_lengths + lengths.sum(axis=1)
  for group in np.argsort(-whole, kind="stable").tolist():
    prompt = tokens = int(prompt_lengths[group])
    responses = []
    for response, n in enumerate(lengths[group].tolist()):
      if tokens + n > length:  # longer than a row: the rest goes elsewhere, after the same prompt
        put(group, responses, tokens)
        responses, tokens = [], prompt
      if n:
        responses.append(response)
        tokens += n
    put(group, responses, tokens)
  return rows


# --- reading by it --------------------------------------------------------------------------------


def read(decoder: Decoder, groups: Groups) -> Float[Array, "F RL M"]:
  """The hidden state of every slot."""
  layout = groups.layout
  f, r, n = layout.source.shape

  def rows(x):
    return x.reshape(f * r, n)

  tokens = _taken(_tokens(groups), layout.source.reshape(f, -1))
  of, response = rows(layout.prompt), rows(layout.response)
  same = of[:, :, None] == of[:, None, :]
  own = (response[:, None, :] == 0) | (response[:, :, None] == response[:, None, :])
  sees = same & own & jnp.tril(jnp.ones((n, n), bool))
  return decoder.read_rows(rows(tokens), rows(layout.position), sees).reshape(f, r * n, -1)


def predictions(
  decoder: Decoder, groups: Groups
) -> tuple[Float[Array, "F N M"], Int[Array, "F N"]]:
  """The hidden states that the response tokens are predicted from, and those tokens."""
  layout = groups.layout
  return _taken(read(decoder, groups), layout.before), _taken(_tokens(groups), layout.predicted)


def unpacked(groups: Groups, x: Float[Array, "F N"]) -> Float[Array, "B K T"]:
  """Numbers of predicted tokens where the groups have them; 0 at what was not read."""
  place = groups.layout.place
  found = _taken(jnp.pad(x, ((0, 0), (0, 1))), place.reshape(len(x), -1))
  return found.reshape(place.shape)


def at_ends(groups: Groups, x: Float[Array, "F RL"]) -> Float[Array, "B K"]:
  """The numbers of the slots in which the responses end."""
  last = groups.layout.last
  return _taken(x, last.reshape(len(x), -1)).reshape(last.shape)


def _tokens(groups: Groups) -> Int[Array, "F n"]:
  """The tokens of each chunk's groups, as a layout numbers them."""
  b = len(groups.prompts)
  tokens = jnp.concatenate([groups.prompts, groups.responses.reshape(b, -1)], axis=1)
  return tokens.reshape(len(groups.layout.source), -1)


def _taken(x: Array, index: Int[Array, "F n"]) -> Array:
  """x[f, index[f, i]] for each chunk f: none needs what another has."""
  return jax.vmap(lambda row, i: row[i])(x, index)
