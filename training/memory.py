"""The memory that a config needs on each device, from shapes alone: nothing is allocated.

Traced, not compiled: jax's own transformations say which arrays the backward pass keeps and the
decoding loop carries. XLA then lays out buffers as it likes: on a CPU, the estimate of the update
was 0.84 to 1.22 times what it allocated. Arrays by prompt are counted as split over the whole mesh,
but those as wide as the residual stream, which `tensor` does not split.
"""

import dataclasses
import math
import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import jaxprs_in_params
from jax.sharding import AbstractMesh, Mesh

from models import adapters, scalar_head, transformer
from models.groups import Groups
from models.partitioning import AXES, on_mesh, parameter_shardings
from models.sampling import number_of_cuts, sample
from training import drawing
from training.errors import OutOfMemory
from training.parts import Parts
from training.population import membership
from training.update import kept_for_backward

SURE = 0.8  # share of the estimate that must fit; else the config is refused
HELD = ("parameters", "optimizer", "reference", "critic", "reward model")  # all the time
UPDATE = ("gradient", "activations", "logits", "tables")  # while updating
SAMPLING = ("decoding weights", "cache")  # while sampling, evaluation's included


def estimate(parts: Parts) -> dict[str, int]:
  """Bytes on each device by part, named as in HELD, UPDATE and SAMPLING."""
  policy, trained = networks(parts)
  mesh = _mesh(parts)
  kept, logits = _update(parts, trained)
  accumulated = 2 if parts.config.micro_batches > 1 else 1
  return held(parts) | {
    "gradient": bytes_here(moved(trained), mesh) * accumulated,
    "activations": kept // mesh.size,
    "logits": logits // mesh.size,
    "tables": _tables(parts),
    "decoding weights": _decoding_weights(parts, policy),
    "cache": _sampling(parts, policy) // mesh.size,
  }


def total(found: dict[str, int]) -> int:
  """The most that is there at one time, in bytes."""
  always, update, sampling = (
    sum(found[name] for name in names) for names in (HELD, UPDATE, SAMPLING)
  )
  return always + max(update, sampling)


def describe(found: dict[str, int]) -> str:
  """One line: the total, and what it is made of."""
  listed = ", ".join(f"{name} {size_text(size)}" for name, size in found.items() if size)
  return f"about {size_text(total(found))} on each device: {listed}"


def check(parts: Parts) -> None:
  """OutOfMemory when the config cannot fit, with the largest parts and what makes them smaller.

  A network so small that it would take a thousand of it to fill the memory is let through.
  """
  limit, weights, members = device_memory(), held(parts), membership.members_a_device()
  if 1000 * members * sum(weights.values()) < limit:
    return  # without the seconds that the whole estimate takes
  found = estimate(parts)
  if SURE * members * total(found) <= limit:
    return
  config, largest = parts.config, sorted(found, key=lambda name: -found[name])[:3]
  listed = ", ".join(f"{name} {size_text(found[name])}" for name in largest)
  knobs = [f"mesh.fsdp (now {config.mesh.fsdp})", f"micro_batches (now {config.micro_batches})"]
  if parts.model.remat != "layers":
    knobs.append(f"model.remat=layers (now {parts.model.remat})")
  if members > 1:
    raise OutOfMemory(
      f"not enough memory: a device has {size_text(limit)}, and {members} runs of about "
      f"{size_text(total(found))} each train on it as one program. Lower --vectorize"
    )
  raise OutOfMemory(
    f"not enough memory: a device has {size_text(limit)}, this config needs about "
    f"{size_text(total(found))} (most of it: {listed}).\n"
    f"Raise {', '.join(knobs)}, or lower batch_prompts (now {config.batch_prompts})"
  )


def is_exhausted(error: Exception) -> bool:
  """Whether memory, of the devices or of the machine, is all that was missing."""
  from_jax = isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)
  return from_jax or isinstance(error, OutOfMemory | MemoryError)


def device_memory() -> int:
  """Bytes of one device: an accelerator's own, or its share of the machine's if it is a CPU."""
  device = jax.local_devices()[0]
  stats = device.memory_stats()
  if stats and "bytes_limit" in stats:
    return stats["bytes_limit"]
  machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
  return machine // jax.local_device_count()


# --- what is held -------------------------------------------------------------------------------


def held(parts: Parts) -> dict[str, int]:
  """Bytes on each device of what is there all the time, named as in HELD."""
  config, mesh = parts.config, _mesh(parts)
  policy, trained = networks(parts)
  # Evaluation looks back at the base policy always. On the host, it is on the devices for its own
  # log-probs alone, when there is no gradient, which is as large.
  resting = 1 + bool(config.reference.run)
  policies = resting * (config.reference.memory != "host") + (config.reference.every > 0)
  scalar = jax.eval_shape(scalar_head.with_scalar_head, policy)
  has_reward_model = config.scoring.reward == "model"
  moments = jax.eval_shape(parts.optimizer().init, moved(trained))
  return {
    "parameters": bytes_here(trained["params"], mesh),
    "optimizer": bytes_here(moments, mesh),
    "reference": 0 if adapters.are_in(policy) else policies * bytes_here(policy, mesh),
    "critic": bytes_here(trained.get("critic", {}), mesh),
    "reward model": bytes_here(scalar, mesh) if has_reward_model else 0,
  }


def networks(parts: Parts) -> tuple[Any, dict[str, Any]]:
  """Shapes of the policy's parameters, and of what the optimizer moves."""
  words, key = parts.loss.words, jax.eval_shape(jax.random.key, 0)
  policy = jax.eval_shape(partial(transformer.init, parts.model), key)
  scalar = jax.eval_shape(scalar_head.with_scalar_head, policy)
  trained = {"params": scalar if "scores" in words else policy}
  return policy, trained | ({"critic": scalar} if "values" in words else {})


def moved(trained: dict[str, Any]) -> dict[str, Any]:
  """The parameters of these networks that the optimizer moves."""
  return {name: adapters.trainable(params) for name, params in trained.items()}


def _mesh(parts: Parts) -> AbstractMesh:
  return AbstractMesh(tuple(parts.config.mesh[axis] for axis in AXES), AXES)


# --- the two phases of a step -------------------------------------------------------------------


def _update(parts: Parts, trained: dict[str, Any]) -> tuple[int, int]:
  """(bytes that the backward pass of a micro-batch keeps, those as wide as the vocabulary)."""
  config, model = parts.config, parts.model
  pieces = config.minibatches * config.micro_batches
  groups = shapes_of_groups(parts, config.batch_prompts // pieces)
  weights = {(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(trained)}

  def is_wide(leaf):
    return leaf.shape[-1:] == (model.vocab_size,)

  def size(leaf):  # as if it were split over the whole mesh
    return _bytes(leaf) * (config.mesh.tensor if leaf.shape[-1:] == (model.d_model,) else 1)

  def kept(model):  # bytes, those of logits, and the forward pass
    forward = partial(kept_for_backward, dataclasses.replace(parts.update_spec, model=model))
    forward = on_mesh(parts.mesh, forward)  # whose chips decide how attention is computed
    jaxpr, shapes = jax.make_jaxpr(forward, return_shape=True)(trained, groups)
    leaves = [x for x in jax.tree.leaves(shapes) if (x.shape, x.dtype) not in weights]
    logits = sum(_bytes(leaf) for leaf in leaves if is_wide(leaf))
    return sum(map(size, leaves)) - logits, logits, jaxpr.jaxpr

  activations, logits, forward = kept(model)
  if model.remat != "none":  # a layer computes again what its gradient needs, two thirds at a time
    whole = dataclasses.replace(model, remat="none")
    activations += 2 * kept(whole)[0] // (3 * model.layers)
  # Logits in pieces are kept nowhere; the largest is counted once more, for its gradient.
  avals = [variable.aval for equation in _equations(forward) for variable in equation.outvars]
  return activations, logits + max((_bytes(a) for a in avals if is_wide(a)), default=0)


def _tables(parts: Parts) -> int:
  """Bytes of the embedding and the head while updating: cast, and their gradients in float32.

  They are whole over fsdp, as a layer's weights are, which are few. If they are tied, the table's
  two gradients wait for each other; else one is done with before the other begins.
  """
  model, mesh = parts.model, parts.config.mesh
  is_copied = mesh.fsdp > 1 or model.dtype != "float32"
  copied = jnp.dtype(model.dtype).itemsize if is_copied else 0
  gradient = 0 if model.lora_rank else 4
  at_once = 2 if model.tied else 1
  return at_once * model.vocab_size * model.d_model * (copied + gradient) // mesh.tensor


def _decoding_weights(parts: Parts, policy: Any) -> int:
  """Bytes of the copy that the sampler makes of the parameters: cast, and whole over fsdp."""
  cast = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, parts.model.dtype), policy)
  mesh = parts.config.mesh
  return bytes_here(cast, AbstractMesh((mesh.data, 1, mesh.tensor), AXES))


def _sampling(parts: Parts, policy: Any) -> int:
  """Bytes that the decoding loop carries, the weights apart; of evaluation if that is more."""
  config = parts.config
  evaluation = (config.task.eval_prompts, config.eval.samples)
  training = (config.batch_prompts, max(config.group_size, config.reference.samples))
  return max(_loop(parts, policy, *size) for size in (evaluation, training))


def _loop(parts: Parts, policy: Any, prompts: int, group_size: int) -> int:
  groups, sampler = shapes_of_groups(parts, prompts), parts.sampler(group_size)

  def draw(params, tokens, mask):
    return sample(parts.model, params, tokens, mask, jax.random.key(0), sampler)

  jaxpr = jax.make_jaxpr(draw)(policy, groups.prompts, groups.prompt_mask)
  loops = [e for e in _equations(jaxpr.jaxpr) if e.primitive.name == "while"]
  carried = max(sum(_bytes(v.aval) for v in loop.invars) for loop in loops)
  size = jnp.dtype(parts.model.dtype).itemsize
  cache = max(0, carried - size * sum(leaf.size for leaf in jax.tree.leaves(policy)))
  ends = drawing.segments(sampler.max_tokens)
  if len(ends) > 1 and number_of_cuts(prompts, sampler.prompts_at_once) == 1:
    cache += cache * ends[-2] // ends[-1]  # that of the segment before, while it grows
  return cache


def shapes_of_groups(parts: Parts, prompts: int) -> Groups:
  """The shapes of a batch."""
  config = parts.config
  k, t, p = config.group_size, config.sampling.max_tokens, parts.task.max_prompt_tokens
  shape = jax.ShapeDtypeStruct
  return Groups(
    shape((prompts, p), jnp.int32),
    shape((prompts, p), jnp.bool_),
    shape((prompts, k, t), jnp.int32),
    shape((prompts, k, t), jnp.bool_),
    shape((prompts, k), jnp.float32),
  )


def _equations(jaxpr) -> Iterator[Any]:
  """Those of the jaxpr and of all inside it."""
  for equation in jaxpr.eqns:
    yield equation
    for inner in jaxprs_in_params(equation.params):
      yield from _equations(inner)


def _bytes(leaf: Any) -> int:
  size = getattr(leaf.dtype, "itemsize", 8)  # a random key has none
  return math.prod(leaf.shape) * size


def bytes_here(tree: Any, mesh: Mesh | AbstractMesh) -> int:
  """Bytes of these parameters on one device."""
  shards = jax.tree.map(lambda x, s: s.shard_shape(x.shape), tree, parameter_shardings(tree, mesh))
  sizes = jax.tree.map(lambda x, shape: math.prod(shape) * x.dtype.itemsize, tree, shards)
  return sum(jax.tree.leaves(sizes))


def size_text(size: int | float) -> str:
  """1536 -> "1.5 KiB"."""
  units = iter(("B", "KiB", "MiB", "GiB"))
  unit = next(units)
  while size >= 1024 and unit != "GiB":
    size, unit = size / 1024, next(units)
  return f"{size:.3g} {unit}" if size < 1000 else f"{size:,.0f} {unit}"
