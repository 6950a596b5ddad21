"""Attention on a TPU: jax's splash kernel, which never holds the scores.

Blocks of the mask that hold nothing are skipped, forward and backward. The mask of packed rows is
data: which blocks these are is found on the device, row by row. That of whole groups is known when
the program is made, but for the padding before a prompt, which is a segment of its own.
"""

import dataclasses
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernels
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks
from jax.experimental.pallas.ops.tpu.splash_attention import (
  splash_attention_mask_info as mask_infos,
)
from jaxtyping import Array, Bool, Float, Shaped

from models.partitioning import BY_PROMPTS, by_heads

BLOCK = 128  # the kernel's least; rows are a multiple of it long
BLOCKS = (512, 384, 256, BLOCK)  # larger ones gain nothing more


def misfit(head_dim: int, length: int = BLOCK) -> str:
  """The reason why heads of this width, or rows of this length, cannot have it; or ""."""
  if length % BLOCK:
    return f"rows of {length} tokens are no multiple of {BLOCK}"
  if head_dim % 64:
    return f"heads of width {head_dim} are no multiple of 64"
  return ""


# --- packed rows ----------------------------------------------------------------------------------


def attend_in_rows(
  queries: Float[Array, "R H S G D"],
  keys: Float[Array, "R H S D"],
  values: Float[Array, "R H S D"],
  sees: Bool[Array, "R S S"],
  *,
  interpret: bool = False,
) -> Float[Array, "R H S G D"]:
  """Softmax attention in each row; queries are scaled already.

  On a mesh the rows are split over data and fsdp and the heads over tensor, as they lie: a kernel
  is one device's. `interpret` runs it on a CPU.
  """
  length, group = queries.shape[2], queries.shape[3]
  block = next(size for size in BLOCKS if length % size == 0)
  blocks = (block, block)

  def one_row(queries, keys, values, sees):  # [H, S, G, D], [H, S, D], [S, S]
    seen = jnp.broadcast_to(sees, (group, length, length))
    forward = mask_infos.process_dynamic_mask(seen, blocks)[0]
    # As `kernels.make_splash_mqa`, which cannot be traced with a mask that is.
    kernel: Callable[..., Any] = kernels.SplashAttentionKernel(
      forward,
      forward,  # of the gradient in the queries
      mask_infos.process_dynamic_mask_dkv(seen, blocks)[0],
      block_sizes=_sizes(block),
      is_mqa=True,
      save_residuals=False,
      mask_value=kernels.DEFAULT_MASK_VALUE,
      attn_logits_soft_cap=None,
      residual_checkpoint_name=None,
      mask_function=None,
      interpret=interpret,
    )
    return jax.vmap(kernel)(queries.swapaxes(1, 2), keys, values).swapaxes(1, 2)

  def here(*arrays):
    return jax.lax.map(lambda row: one_row(*row), arrays)

  return _on_devices(here, queries.shape[1])(queries, keys, values, sees)


# --- whole groups ---------------------------------------------------------------------------------


def attend_in_groups(
  queries: Float[Array, "B H N G D"],
  keys: Float[Array, "B H N D"],
  values: Float[Array, "B H N D"],
  prompt_mask: Bool[Array, "B P"],
  k: int,
  *,
  interpret: bool = False,
) -> Float[Array, "B H N G D"]:
  """Softmax attention in rows of a prompt and its k responses, N = P + k S; queries are scaled.

  On a mesh as `attend_in_rows`.
  """
  p, n, group = prompt_mask.shape[1], queries.shape[2], queries.shape[3]
  row = GroupRow.of(p, k, (n - p) // max(1, k))

  def here(queries, keys, values, prompt_mask):
    kernel: Callable[..., Any] = kernels.make_splash_mqa(
      masks.MultiHeadMask([_GroupMask(row)] * group),
      block_sizes=_sizes(row.block),
      head_shards=1,
      q_seq_shards=1,
      interpret=interpret,
    )
    padding = jnp.pad(~prompt_mask, ((0, 0), (0, n - p)))
    segments = row.aligned(padding, axis=1, filler=True).astype(jnp.int32)
    queries, keys, values = (row.aligned(x, axis=2) for x in (queries, keys, values))
    of_rows = jax.vmap(jax.vmap(kernel, (0, 0, 0, None)))
    attended = of_rows(queries.swapaxes(2, 3), keys, values, kernels.SegmentIds(segments, segments))
    return row.as_it_was(attended.swapaxes(2, 3), axis=2)

  return _on_devices(here, queries.shape[1])(queries, keys, values, prompt_mask)


@dataclasses.dataclass(frozen=True)
class GroupRow:
  """A row of a prompt and K responses whose parts begin and end with a block."""

  prompt: int
  k: int
  response: int
  block: int

  @classmethod
  def of(cls, prompt: int, k: int, response: int) -> "GroupRow":
    """With the largest blocks for which it is hardly longer than with the least."""

    def length(block: int) -> int:
      return -(-prompt // block) * block + k * (-(-response // block) * block)

    return cls(prompt, k, response, next(b for b in BLOCKS if 10 * length(b) <= 11 * length(BLOCK)))

  @property
  def before(self) -> int:
    """Slots of padding before the prompt."""
    return -self.prompt % self.block

  @property
  def after(self) -> int:
    """Slots of padding after each response."""
    return -self.response % self.block

  def aligned(self, x: Shaped[Array, "*n"], axis: int, filler=0) -> Shaped[Array, "*m"]:
    """The parts along this axis, filled up: the prompt before it, each response after it."""
    prompt, responses = jnp.split(x, [self.prompt], axis)
    parts = [jnp.pad(prompt, _on(axis, x.ndim, self.before, 0), constant_values=filler)]
    if self.k:
      each = responses.reshape(*x.shape[:axis], self.k, self.response, *x.shape[axis + 1 :])
      each = jnp.pad(each, _on(axis + 1, each.ndim, 0, self.after))
      parts.append(each.reshape(*x.shape[:axis], -1, *x.shape[axis + 1 :]))
    return jnp.concatenate(parts, axis)

  def as_it_was(self, x: Shaped[Array, "*m"], axis: int) -> Shaped[Array, "*n"]:
    """Without the filling of `aligned`."""
    end = self.before + self.prompt
    parts = [jax.lax.slice_in_dim(x, self.before, end, axis=axis)]
    if self.k:
      rest = jax.lax.slice_in_dim(x, end, x.shape[axis], axis=axis)
      each = rest.reshape(*x.shape[:axis], self.k, -1, *x.shape[axis + 1 :])
      each = jax.lax.slice_in_dim(each, 0, self.response, axis=axis + 1)
      parts.append(each.reshape(*x.shape[:axis], -1, *x.shape[axis + 1 :]))
    return jnp.concatenate(parts, axis)


def _on(axis: int, ndim: int, before: int, after: int) -> list[tuple[int, int]]:
  return [(before, after) if i == axis else (0, 0) for i in range(ndim)]


@dataclasses.dataclass(frozen=True)
class _GroupMask(masks.Mask):
  """Each token sees its prompt and its own response up to itself."""

  row: GroupRow

  @property
  def shape(self) -> tuple[int, int]:
    prompt = self.row.before + self.row.prompt
    n = prompt + self.row.k * (self.row.response + self.row.after)
    return n, n

  def __getitem__(self, idx) -> np.ndarray:
    query, key = (np.arange(self.shape[0])[one] for one in idx)
    of_query, of_key = self._response(query)[:, None], self._response(key)
    return (key <= query[:, None]) & ((of_key < 0) | (of_key == of_query))

  def _response(self, at: np.ndarray) -> np.ndarray:
    """Which response the tokens at these places belong to; -1: to the prompt."""
    prompt, response = self.row.before + self.row.prompt, self.row.response + self.row.after
    return np.where(at < prompt, -1, (at - prompt) // max(1, response))


# --- both -----------------------------------------------------------------------------------------


def _sizes(block: int) -> kernels.BlockSizes:
  return kernels.BlockSizes(
    *(block,) * 3,
    block_q_dkv=block,
    block_kv_dkv=block,
    block_kv_dkv_compute=block,
    block_q_dq=block,
    block_kv_dq=block,
  )


def _on_devices(function, heads: int):
  """`function` of each device's own rows and heads, if it is traced `on_mesh`."""
  mesh, function = jax.sharding.get_abstract_mesh(), _as_they_come(function)
  if "data" not in mesh.axis_names:
    return function
  split = by_heads(mesh, heads)
  return jax.shard_map(
    function,
    mesh=mesh,
    in_specs=(split, split, split, BY_PROMPTS),
    out_specs=split,
    check_vma=False,
  )


def _as_they_come(function):
  """`function`, whose products of bfloat16 are not asked to be those of float32.

  For such a run asks all products to be (`multiply_in_full`), which the kernels' compiler refuses,
  forward and backward. Products of float32 it takes.
  """

  def precision(queries):
    in_bfloat16 = queries.dtype == jnp.bfloat16
    return jax.default_matmul_precision("default") if in_bfloat16 else nullcontext()

  @jax.custom_vjp
  def run(*arrays):
    with precision(arrays[0]):
      return function(*arrays)

  def forward(*arrays):
    with precision(arrays[0]):
      return jax.vjp(function, *arrays)

  def backward(pullback, cotangent):
    with precision(cotangent):
      return pullback(cotangent)

  run.defvjp(forward, backward)
  return run
