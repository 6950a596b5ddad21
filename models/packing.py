"""Groups of unequal lengths, laid out in rows without padding.

A batch is padded to its longest prompt and its longest response, and the network reads the padding
too: of human preference pairs six tokens of seven. Here prompts and responses stand one after the
other in rows of one length: a prompt, responses to it, the next prompt. A response sees its prompt
and itself. What does not fit goes on in another row, the prompt repeated.

A layout says where each token goes. It is made on the host, from lengths alone (`lay_out`), and
moves nothing. The network reads the rows (`read`), computes the tokens that are predicted and no
others, and puts their numbers where `Groups` has them (`unpacked`), so that a loss sees no
difference. A layout has F chunks of B / F neighbouring groups, one for each device and micro-batch,
which share nothing. Rows have one of two lengths, their number is a step of a ladder, and that of
predictions one of two shares of the slots: few shapes, few programs.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from models.groups import Groups
from models.transformer import Decoder

STEP = 128  # rows are a multiple of it long
SHARES = (0.625, 1.0)  # of the slots, that may be predicted: of pairs, and of larger groups


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
  """L, which holds `longest` tokens: of the `most` that there may be, or of half as many."""
  length, half = _in_steps(most), _in_steps(_in_steps(most) // 2)
  return half if longest <= half else length


def _in_steps(n: int) -> int:
  return -(-n // STEP) * STEP


def on_ladder(n: int) -> int:
  """The least of 1, 2, 3, 4, 5, 7, 9, 12, 16, 21, 28, ... that is no less than n."""
  step = 1
  while step < n:
    step = max(step + 1, round(step * 4 / 3))
  return step


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
  plans = [
    _plan(prompt_lengths[i : i + size], lengths[i : i + size], length) for i in range(0, b, size)
  ]
  rows = on_ladder(max(rows for _, rows in plans))
  predictions = int(lengths.reshape(chunks, -1).sum(axis=1).max())
  shares = (int(share * rows * length) for share in SHARES)
  count = next(count for count in shares if count >= predictions)

  slots = np.zeros((4, chunks, rows * length), np.int32)  # the first four of a Layout
  predicted, before = np.zeros((2, chunks, count), np.int32)
  place, last = np.full((b, k, t), count, np.int32), np.zeros((b, k), np.int32)
  for c, (pieces, _) in enumerate(plans):
    found = 0
    for piece in pieces:
      own, at = c * size + piece.group, piece.slot
      n, start = int(prompt_lengths[own]), piece.group * (p + k * t) + p  # where responses start
      _put(slots[:, c, at : at + n], start - n, 0, piece.number, 0)
      at += n
      end = at - 1
      last[own, lengths[own] == 0] = end
      for response in piece.responses:
        m, token = int(lengths[own, response]), start + response * t
        _put(slots[:, c, at : at + m], token, n, piece.number, response + 1)
        predicted[c, found : found + m] = token + np.arange(m)
        before[c, found : found + m] = end, *range(at, at + m - 1)
        place[own, response, :m] = found + np.arange(m)
        at, found = at + m, found + m
        last[own, response] = at - 1
  source, position, prompt, response = slots.reshape(4, chunks, rows, length)
  return Layout(source, position, prompt, response, predicted, before, place, last)


def _put(slots, token: int, position: int, prompt: int, response: int) -> None:
  """Fills slots [4, n] with the text that begins with this token, which has this position."""
  own = np.arange(slots.shape[1])
  slots[0], slots[1], slots[2], slots[3] = token + own, position + own, prompt, response


class _Piece(NamedTuple):
  """A prompt and responses to it, side by side in a row."""

  slot: int  # the first, of R L
  number: int  # of its prompt in the row, from 1
  group: int
  responses: list[int]


def _plan(
  prompt_lengths: Int[np.ndarray, " b"], lengths: Int[np.ndarray, "b K"], length: int
) -> tuple[list[_Piece], int]:
  """The pieces, and how many rows they take: the longest groups first, each where it fits."""
  pieces: list[_Piece] = []
  used: list[int] = []  # slots of each row
  counts: list[int] = []  # prompts of each row

  def put(group: int, responses: list[int], tokens: int) -> None:
    row = next((i for i, n in enumerate(used) if n + tokens <= length), len(used))
    if row == len(used):
      used.append(0)
      counts.append(0)
    counts[row] += 1
    pieces.append(_Piece(row * length + used[row], counts[row], group, responses))
    used[row] += tokens

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
  return pieces, len(used)


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
