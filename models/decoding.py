"""Decoding: prompts are read once, then all responses grow token by token.

`Drawing` is where it stands. One program may draw all of it (`sampling.sample`), or several, a
segment each: between two of them the past grows, so that a token reads what is there and not what
may come, and responses that have ended leave (`moved`).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from models.attention import KeysValues
from models.model_config import ModelConfig
from models.partitioning import gathered
from models.sampler import OfRows, Sampler, draw, restrict
from models.transformer import Params, bind, bind_layer, prompt_positions, windows_of


class Drawing(NamedTuple):
  """Responses while they are drawn: B rows of a prompt and K of its responses, up to S tokens."""

  latest: Any  # int32 [], the token drawn last, of 0 to S - 1; the past has those before it
  prompts: Any  # KeysValues of each layer, with one set a row
  prompt_mask: Any  # bool [B, P]
  past: Any  # KeysValues of each layer, with K sets of S tokens a row
  ended: Any  # bool [B, K]
  responses: Any  # int32 [B, K, S]
  mask: Any  # bool [B, K, S]
  logps: Any  # [B, K, S] each, one or both of those of `sampling.Samples`
  row: Any  # int32 [B], which prompt of the batch this is: its random numbers go with that
  response: Any = None  # int32 [B, K], which of its responses each is; None: as they come


def begin(
  config: ModelConfig,
  params: Params,
  prompts: Int[Array, "B P"],
  prompt_mask: Bool[Array, "B P"],
  row: Int[Array, " B"],
  key: jax.Array,
  sampler: Sampler,
  temperature: float | Float[Array, ""] | OfRows,
  length: int,
) -> Drawing:
  """Reads the prompts and draws the first token of each response, with room for `length`.

  `key` is one, of which each row makes its own, or [B], one a row.
  """
  batch, k = len(prompts), sampler.group_size
  hidden, seen = prefill(config, params, prompts, prompt_mask)
  first = jnp.broadcast_to(bind(config, params).logits(hidden), (batch, k, config.vocab_size))
  heads, d = (batch, config.kv_heads, k), config.head_dim
  nothing = KeysValues(
    jnp.zeros((*heads, d, length), config.dtype), jnp.zeros((*heads, length, d), config.dtype)
  )
  shape = (batch, k, length)
  undrawn = Drawing(
    latest=jnp.int32(0),
    prompts=seen,
    prompt_mask=prompt_mask,
    past=[nothing for _ in seen],
    ended=jnp.zeros((batch, k), bool),
    responses=jnp.full(shape, sampler.pad_id, prompts.dtype),
    mask=jnp.zeros(shape, bool),
    logps=(jnp.zeros(shape, jnp.float32),) * (2 if _is_restricted(sampler, temperature) else 1),
    row=row,
  )
  keys = _keys(key, undrawn)
  drawn = _appended(undrawn, _drawn(undrawn), 0, first, keys, sampler, temperature)
  return _with_drawn(undrawn, drawn)


def decode(
  config: ModelConfig,
  params: Params,
  drawing: Drawing,
  key: jax.Array,
  sampler: Sampler,
  temperature: float | Float[Array, ""] | OfRows,
) -> Drawing:
  """Draws on until there is no room left, or all responses have ended."""
  # The weights that every token reads: in the dtype that computes, and gathered over fsdp.
  # Layers one by one from here: a scan would copy weights and caches at every token.
  params = gathered(jax.tree.map(lambda x: x.astype(config.dtype), params))
  windows, length = windows_of(config), drawing.responses.shape[-1]
  prompt_mask = drawing.prompt_mask
  layers = [(_layer(params, i), seen, _slice(windows, i)) for i, seen in enumerate(drawing.prompts)]
  positions = prompt_mask.sum(axis=1, keepdims=True) + jnp.arange(length)
  turns, keys = bind(config, params).turns(positions), _keys(key, drawing)

  def unfinished(carry):
    latest, _, (ended, *_) = carry
    return (latest + 1 < length) & ~all_ended(ended)

  def one_token(carry):
    t, past, drawn = carry
    token = jax.lax.dynamic_index_in_dim(drawn[1], t, axis=2, keepdims=False)
    decoder = bind(config, params)  # anew: NNX modules do not cross into a loop body
    x, grown = decoder.embed(token, is_whole=True), []
    here = [jax.lax.dynamic_slice_in_dim(x, t, 1, axis=1) for x in turns]

    @jax.jit  # traced once for all layers
    def one_layer(x, weights, prompt, window, own):
      return bind_layer(config, weights).step(x, here, prompt, prompt_mask, own, t, window)

    for layer, own in zip(layers, past, strict=True):
      x, own = one_layer(x, *layer, own)
      grown.append(own)
    logits = decoder.logits(decoder.normed(x))
    drawn = _appended(drawing, drawn, t + 1, logits, keys, sampler, temperature)
    return t + 1, grown, drawn

  # The last token is not read: nothing follows it.
  start = (drawing.latest, drawing.past, _drawn(drawing))
  latest, past, drawn = jax.lax.while_loop(unfinished, one_token, start)
  return _with_drawn(drawing._replace(latest=latest, past=past), drawn)


def moved(
  drawing: Drawing, row: Int[Array, "F b"], slot: Int[Array, "F b k"], length: int
) -> Drawing:
  """The same responses, some of them, in other rows, with room for `length` tokens.

  The batch has F parts of B / F rows, each of which keeps its own: `row` are a part's rows, and
  `slot` which of their responses each new row has; -1 for none.
  """

  def of_rows(x):  # [B, ...] -> [F b, ...]
    parts = x.reshape(len(row), -1, *x.shape[1:])
    return jax.vmap(lambda x, i: x[i])(parts, row).reshape(-1, *x.shape[1:])

  there = slot.reshape(-1, slot.shape[-1])

  def of_slots(x, axis=1):  # with the axis K of its rows at `axis`
    return jax.vmap(lambda x, i: jnp.take(x, i, axis=axis - 1))(of_rows(x), jnp.maximum(there, 0))

  response = drawing.response
  if response is None:
    response = jnp.broadcast_to(jnp.arange(drawing.ended.shape[1]), drawing.ended.shape)
  return longer(
    Drawing(
      latest=drawing.latest,
      prompts=jax.tree.map(of_rows, drawing.prompts),
      prompt_mask=of_rows(drawing.prompt_mask),
      past=jax.tree.map(lambda x: of_slots(x, axis=2), drawing.past),
      ended=of_slots(drawing.ended) | (there < 0),
      responses=of_slots(drawing.responses),
      mask=of_slots(drawing.mask),
      logps=tuple(map(of_slots, drawing.logps)),
      row=of_rows(drawing.row),
      response=of_slots(response),
    ),
    length,
  )


def longer(drawing: Drawing, length: int) -> Drawing:
  """The same with room for `length` tokens."""

  def grown(x, axis=-1):
    more = [(0, 0)] * x.ndim
    more[axis] = (0, length - x.shape[axis])
    return jnp.pad(x, more)

  past = [KeysValues(grown(one.keys), grown(one.values, axis=3)) for one in drawing.past]
  drawn = jax.tree.map(grown, (drawing.responses, drawing.mask, drawing.logps))
  return drawing._replace(past=past)._replace(
    **dict(zip(("responses", "mask", "logps"), drawn, strict=True))
  )


def _drawn(drawing: Drawing) -> tuple:
  """The part of it that a token changes, beside the past."""
  return drawing.ended, drawing.responses, drawing.mask, drawing.logps


def _with_drawn(drawing: Drawing, drawn: tuple) -> Drawing:
  ended, responses, mask, logps = drawn
  return drawing._replace(ended=ended, responses=responses, mask=mask, logps=logps)


def _keys(key: jax.Array, drawing: Drawing) -> jax.Array:
  """[B], the random key of each row, of which every token makes its own."""
  if key.ndim:
    return key
  return jax.vmap(jax.random.fold_in, (None, 0))(key, drawing.row)


def _appended(
  about: Drawing, drawn: tuple, t, logits, keys, sampler: Sampler, temperature
) -> tuple:
  """Draws token t of each response from its logits [B, K, V]; `about` says whose they are."""
  ended, responses, mask, logps = drawn

  def uniforms(key):
    return jax.random.uniform(jax.random.fold_in(key, t), (sampler.group_size,))

  uniform = jax.vmap(uniforms)(keys)
  if about.response is not None:
    uniform = jnp.take_along_axis(uniform, about.response, axis=1)
  if isinstance(temperature, OfRows):
    token, scaled, drawn_from = temperature.choose(logits, uniform)
  else:
    scaled = logits / temperature
    drawn_from = restrict(scaled, sampler)
    token = jnp.argmax(scaled, axis=-1) if sampler.greedy else draw(drawn_from, uniform)

  def logp_of(logits):
    logp = jnp.take_along_axis(logits, token[..., None], axis=-1)[..., 0]
    return jnp.where(ended, 0.0, logp - jax.nn.logsumexp(logits, axis=-1))

  of = (scaled, drawn_from)[: len(logps)]
  token = jnp.where(ended, sampler.pad_id, token)
  return (
    ended | jnp.isin(token, jnp.array(sampler.eos_ids, token.dtype)),
    responses.at[:, :, t].set(token),
    mask.at[:, :, t].set(~ended),
    tuple(x.at[:, :, t].set(logp_of(of_what)) for x, of_what in zip(logps, of, strict=True)),
  )


def _is_restricted(sampler: Sampler, temperature) -> bool:
  """Whether what is drawn is not of the whole distribution."""
  of_rows = isinstance(temperature, OfRows) and temperature.top_p is not None
  return sampler.is_restricted or of_rows


@jax.custom_batching.custom_vmap
def all_ended(ended: Bool[Array, "B K"]) -> Bool[Array, ""]:
  """Whether every response has ended. Under vmap, of all members of a population at once.

  One loop serves them then. A condition for each would make XLA choose between old and new, at
  every token, for all that the caches hold.
  """
  return ended.all()


@all_ended.def_vmap
def _all_ended_of_all(size, batched, ended):
  del size, batched
  return ended.all(), False


def prefill(
  config: ModelConfig,
  params: Params,
  prompts: Int[Array, "B P"],
  prompt_mask: Bool[Array, "B P"],
) -> tuple[Float[Array, "B 1 M"], list[KeysValues]]:
  """The prompts' last hidden state, and their keys and values in each layer."""
  decoder = bind(config, params)
  x, turns = decoder.embed(prompts), decoder.turns(prompt_positions(prompt_mask))
  windows, others = windows_of(config), config.layers - 1

  def one_layer(x, i):
    layer = bind_layer(config, _layer(params, i))
    return layer.read(x, turns, prompt_mask, k=0, window=_slice(windows, i))

  x, seen = jax.lax.scan(one_layer, x, jnp.arange(others))
  layer = bind_layer(config, _layer(params, others))
  x, last = layer.read_last(x, turns, prompt_mask, _slice(windows, others))
  return decoder.normed(x), [*(_slice(seen, i) for i in range(others)), last]


def _layer(params: Params, i):
  return _slice(params["layers"], i)


def _slice(tree, i):
  return jax.tree.map(lambda x: x[i], tree)
