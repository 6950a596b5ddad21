"""Sampling K responses to each prompt: the prompt is read once, then decoded token by token."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from models.attention import KeysValues
from models.model_config import ModelConfig
from models.partitioning import gathered
from models.transformer import Params, bind, bind_layer, prompt_positions, windows_of

BLOCK = 64  # tokens whose probabilities are added up first, see `draw`


@dataclasses.dataclass(frozen=True)
class Sampler:
  """How to decode. Hashable: compiled functions are cached by it (temperature is an argument)."""

  max_tokens: int
  eos_ids: tuple[int, ...]  # each ends a response
  pad_id: int
  group_size: int = 1
  greedy: bool = False  # the likeliest token each time
  top_k: int = 0  # draw from the k likeliest tokens only; 0: from all
  prompts_at_once: int = 0  # decoded together; 0: all. Fewer take less memory and draw the same
  top_p: float = 1.0  # draw from the likeliest tokens that hold this much probability; 1: from all

  @property
  def is_restricted(self) -> bool:
    """Whether what is drawn is not of the whole distribution."""
    return self.top_k > 0 or self.top_p < 1


class Samples(NamedTuple):
  """Responses as drawn. One that never ended has no end and `finished` False."""

  responses: Int[Array, "B K T"]  # right-padded
  mask: Bool[Array, "B K T"]  # up to and including the end
  logps: Float[Array, "B K T"]  # of softmax(logits / temperature), whatever top-k; 0 at padding
  finished: Bool[Array, "B K"]
  # Of the distribution that was drawn from, where top-k or top-p made it another; else None.
  drawn_logps: Float[Array, "B K T"] | None = None


def sample(
  config: ModelConfig,
  params: Params,
  prompts: Int[Array, "B P"],
  prompt_mask: Bool[Array, "B P"],
  key: jax.Array,
  sampler: Sampler,
  temperature: float | Float[Array, ""] = 1.0,
) -> Samples:
  """K = sampler.group_size responses to each left-padded prompt. Stops early when all have ended.

  The log-probs are of the distribution that the trainer scores (`log_probs.token_log_probs` with
  the same temperature). top-k and top-p only restrict what is drawn; `drawn_logps` are of that.
  Greedy ignores the temperature in its choice. What row b draws depends on the key, b and its
  prompt, not on the other rows.
  """
  rows = jnp.arange(len(prompts))
  n = number_of_cuts(len(prompts), sampler.prompts_at_once)
  if n == 1:
    return _sample(config, params, key, sampler, temperature, prompts, prompt_mask, rows)

  def cut(x):  # interleaved, so that each device keeps its own prompts
    return x.reshape(-1, n, *x.shape[1:]).swapaxes(0, 1)

  samples = jax.lax.map(
    lambda part: _sample(config, params, key, sampler, temperature, *part),
    (cut(prompts), cut(prompt_mask), cut(rows)),
  )
  return jax.tree.map(lambda x: x.swapaxes(0, 1).reshape(-1, *x.shape[2:]), samples)


def number_of_cuts(prompts: int, at_once: int) -> int:
  """The least number of equal cuts of no more than `at_once` prompts (0: one cut, of all)."""
  if not at_once:
    return 1
  return next(n for n in range(1, prompts + 1) if prompts % n == 0 and prompts // n <= at_once)


def _sample(config, params, key, sampler: Sampler, temperature, prompts, prompt_mask, rows):
  decoder, batch = bind(config, params), len(prompts)
  k, steps = sampler.group_size, sampler.max_tokens
  hidden, seen = prefill(config, params, prompts, prompt_mask)
  first = jnp.broadcast_to(decoder.logits(hidden), (batch, k, config.vocab_size))
  # The weights that every token reads: in the dtype that computes, and gathered over fsdp.
  # Layers one by one from here: a scan would copy weights and caches at every token.
  params = gathered(jax.tree.map(lambda x: x.astype(config.dtype), params))
  windows = windows_of(config)
  layers = [(_layer(params, i), prompt, _slice(windows, i)) for i, prompt in enumerate(seen)]
  turns = decoder.turns(prompt_mask.sum(axis=1, keepdims=True) + jnp.arange(steps))
  row_keys = jax.vmap(jax.random.fold_in, (None, 0))(key, rows)

  def choose(t, logits, ended):
    scaled = logits / temperature
    uniform = jax.vmap(lambda key: jax.random.uniform(jax.random.fold_in(key, t), (k,)))(row_keys)
    drawn_from = restrict(scaled, sampler)
    token = jnp.argmax(scaled, axis=-1) if sampler.greedy else draw(drawn_from, uniform)

    def logp_of(logits):
      logp = jnp.take_along_axis(logits, token[..., None], axis=-1)[..., 0]
      return jnp.where(ended, 0.0, logp - jax.nn.logsumexp(logits, axis=-1))

    of = (scaled, drawn_from) if sampler.is_restricted else (scaled,)
    return jnp.where(ended, sampler.pad_id, token), tuple(map(logp_of, of))

  @jax.jit  # traced once for its two calls
  def append(t, logits, ended, responses, mask, logps):
    token, new = choose(t, logits, ended)
    return (
      ended | jnp.isin(token, jnp.array(sampler.eos_ids, token.dtype)),
      responses.at[:, :, t].set(token),
      mask.at[:, :, t].set(~ended),
      tuple(x.at[:, :, t].set(logp) for x, logp in zip(logps, new, strict=True)),
    )

  def unfinished(carry):
    t, _, (ended, *_) = carry
    return (t + 1 < steps) & ~all_ended(ended)

  def one_token(carry):
    t, past, (ended, responses, mask, logps) = carry
    token = jax.lax.dynamic_index_in_dim(responses, t, axis=2, keepdims=False)
    decoder = bind(config, params)  # anew: NNX modules do not cross into a loop body
    x, grown = decoder.embed(token), []
    here = [jax.lax.dynamic_slice_in_dim(x, t, 1, axis=1) for x in turns]

    @jax.jit  # traced once for all layers
    def one_layer(x, weights, prompt, window, own):
      return bind_layer(config, weights).step(x, here, prompt, prompt_mask, own, t, window)

    for layer, own in zip(layers, past, strict=True):
      x, own = one_layer(x, *layer, own)
      grown.append(own)
    logits = decoder.logits(decoder.normed(x))
    return t + 1, grown, append(t + 1, logits, ended, responses, mask, logps)

  shape = (batch, k, steps)
  heads, d = (batch, config.kv_heads, k), config.head_dim
  nothing = KeysValues(
    jnp.zeros((*heads, d, steps), config.dtype), jnp.zeros((*heads, steps, d), config.dtype)
  )
  drawn = append(
    0,
    first,
    jnp.zeros((batch, k), bool),
    jnp.full(shape, sampler.pad_id, prompts.dtype),
    jnp.zeros(shape, bool),
    (jnp.zeros(shape, jnp.float32),) * (2 if sampler.is_restricted else 1),
  )
  # The last token is not read: nothing follows it.
  _, _, drawn = jax.lax.while_loop(unfinished, one_token, (0, [nothing for _ in layers], drawn))
  ended, responses, mask, logps = drawn
  return Samples(responses, mask, logps[0], ended, *logps[1:])


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


def draw(logits: Float[Array, "*n V"], uniform: Float[Array, "*n"]) -> Int[Array, "*n"]:
  """Tokens from softmax(logits), by inverting its distribution function at `uniform` in [0, 1).

  One random number a token instead of Gumbel's one a vocabulary entry (20 times faster on a CPU):
  the block of BLOCK entries first, then the entry in it. Entries at -inf are never drawn.
  """
  p = jnp.exp(logits - logits.max(axis=-1, keepdims=True))
  padding = [(0, 0)] * (p.ndim - 1) + [(0, -p.shape[-1] % BLOCK)]
  blocks = jnp.pad(p, padding).reshape(*p.shape[:-1], -1, BLOCK)
  upto = jnp.cumsum(blocks.sum(axis=-1), axis=-1)
  target = _below(uniform * upto[..., -1], upto[..., -1])
  block = (upto <= target[..., None]).sum(axis=-1)
  before = jnp.take_along_axis(upto, jnp.maximum(block - 1, 0)[..., None], axis=-1)[..., 0]
  inside = jnp.take_along_axis(blocks, block[..., None, None], axis=-2)[..., 0, :]
  within = jnp.cumsum(inside, axis=-1)
  target = _below(target - jnp.where(block > 0, before, 0.0), within[..., -1])
  return block * BLOCK + (within <= target[..., None]).sum(axis=-1)


def _below(x, limit):
  """x, or if rounding brought it up to the limit, the float before that."""
  return jnp.minimum(x, jnp.nextafter(limit, 0.0))


def restrict(logits: Float[Array, "*n V"], sampler: Sampler) -> Float[Array, "*n V"]:
  """-inf for tokens outside the top k, then outside the smallest set holding top_p of the rest."""
  if sampler.top_k:
    least = jax.lax.top_k(logits, min(sampler.top_k, logits.shape[-1]))[0][..., -1:]
    logits = jnp.where(logits >= least, logits, -jnp.inf)
  if sampler.top_p < 1:
    descending = -jnp.sort(-jax.nn.log_softmax(logits, axis=-1), axis=-1)
    mass_before = jnp.cumsum(jnp.exp(descending), axis=-1) - jnp.exp(descending)
    kept = jnp.where(mass_before < sampler.top_p, descending, jnp.inf)
    least = kept.min(axis=-1, keepdims=True)
    logits = jnp.where(jax.nn.log_softmax(logits, axis=-1) >= least, logits, -jnp.inf)
  return logits
