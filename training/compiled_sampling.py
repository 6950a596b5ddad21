"""The sampler, jitted and sharded: as one program, or as one for each segment (`drawing.py`)."""

from functools import cache

import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding

from models import decoding
from models.partitioning import batch_sharding, by_heads, replicated
from models.sampler import Sampler
from models.sampling import sample
from models.transformer import ModelConfig
from training.population.shared import Shared, shared_on


@cache
def compiled_sampler(model: ModelConfig, sampler: Sampler, mesh: Mesh) -> Shared:
  """(params, prompts, prompt_mask, key, temperature) -> Samples, jitted, prompts sharded."""

  def run(params, prompts, prompt_mask, key, temperature):
    return sample(model, params, prompts, prompt_mask, key, sampler, temperature)

  rows, everywhere = batch_sharding(mesh), replicated(mesh)
  shardings = (None, rows, rows, everywhere, everywhere)
  return shared_on(mesh, run, shardings, rows, _decoding_options(mesh))


@cache
def compiled_beginning(model: ModelConfig, sampler: Sampler, mesh: Mesh, length: int) -> Shared:
  """(params, prompts, prompt_mask, key, temperature) -> Drawing of `length` tokens, jitted."""

  def run(params, prompts, prompt_mask, key, temperature):
    row = jnp.arange(len(prompts))
    begun = decoding.begin(
      model, params, prompts, prompt_mask, row, key, sampler, temperature, length
    )
    return decoding.decode(model, params, begun, key, sampler, temperature)

  rows, everywhere = batch_sharding(mesh), replicated(mesh)
  shardings = (None, rows, rows, everywhere, everywhere)
  return shared_on(mesh, run, shardings, _of_drawing(model, mesh), _decoding_options(mesh))


@cache
def compiled_continuation(model: ModelConfig, sampler: Sampler, mesh: Mesh, length: int) -> Shared:
  """(params, drawing, move, key, temperature) -> Drawing of `length` tokens, jitted.

  `move` are the row and slot of `decoding.moved`, or None.
  """

  def run(params, drawing, move, key, temperature):
    if move is None:
      drawing = decoding.longer(drawing, length)
    else:
      row, slot = move
      drawing = decoding.moved(drawing, row, slot, length)
    return decoding.decode(model, params, drawing, key, sampler, temperature)

  rows, everywhere = batch_sharding(mesh), replicated(mesh)
  shardings = (None, _of_drawing(model, mesh), rows, everywhere, everywhere)
  return shared_on(mesh, run, shardings, _of_drawing(model, mesh), _decoding_options(mesh))


def _of_drawing(model: ModelConfig, mesh: Mesh) -> decoding.Drawing:
  """Where a Drawing lies: rows split as prompts are, keys and values by their heads, too."""
  rows = batch_sharding(mesh)
  heads = NamedSharding(mesh, by_heads(mesh, model.kv_heads))
  everywhere = replicated(mesh)
  return decoding.Drawing(everywhere, heads, rows, heads, rows, rows, rows, rows, rows, rows)


def _decoding_options(mesh: Mesh) -> dict[str, str]:
  """On a CPU, one operation at a time, each by all cores.

  A token's operations are small, and two at once wait for each other's threads: 5 to 8 % slower, in
  half as much memory again. An update's are large, and faster at once.
  """
  is_cpu = mesh.devices.flat[0].platform == "cpu"
  return {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"} if is_cpu else {}
