"""Attention over rows on a TPU: jax's splash kernel, which never holds the scores.

The mask of packed rows is data: which blocks of it hold anything is found on the device, row by
row, and the others are skipped, forward and backward.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernels
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask_info as masks
from jaxtyping import Array, Bool, Float

from models.partitioning import BY_PROMPTS, by_heads

BLOCK = 128  # the kernel's least; rows are a multiple of it long
LARGEST = 512  # larger blocks gain nothing more


def misfit(length: int, head_dim: int) -> str:
  """The reason why rows of this length and heads of this width cannot have it; or ""."""
  if length % BLOCK:
    return f"rows of {length} tokens are no multiple of {BLOCK}"
  if head_dim % 64:
    return f"heads of width {head_dim} are no multiple of 64"
  return ""


def attend(
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
  block = next(size for size in (LARGEST, 384, 256, BLOCK) if length % size == 0)
  sizes = kernels.BlockSizes(
    *(block,) * 3,
    block_q_dkv=block,
    block_kv_dkv=block,
    block_kv_dkv_compute=block,
    block_q_dq=block,
    block_kv_dq=block,
  )
  blocks = (block, block)

  def one_row(queries, keys, values, sees):  # [H, S, G, D], [H, S, D], [S, S]
    seen = jnp.broadcast_to(sees, (group, length, length))
    forward = masks.process_dynamic_mask(seen, blocks)[0]
    # As `kernels.make_splash_mqa`, which cannot be traced with a mask that is.
    kernel: Callable[..., Any] = kernels.SplashAttentionKernel(
      forward,
      forward,  # of the gradient in the queries
      masks.process_dynamic_mask_dkv(seen, blocks)[0],
      block_sizes=sizes,
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


def _on_devices(function, heads: int):
  """`function` of each device's own rows and heads, if it is traced `on_mesh`."""
  mesh = jax.sharding.get_abstract_mesh()
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
