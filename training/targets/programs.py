"""The programs that a run calls at every step, from shapes alone: nothing is loaded or allocated.

The functions are those that the run calls (`update.py`, `compiled.py`), on a mesh of the target's
devices. Shapes are the largest that the run may meet: every prompt as long as the longest, every
response of sampling.max_tokens, no rows packed. Of a sampler in segments these are the first, and
the last, which all responses reach.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from models import adapters
from models.groups import Groups
from models.partitioning import batch_sharding, parameter_shardings, replicated
from models.sampler import Sampler
from models.sampling import number_of_cuts
from training import drawing, flops, memory
from training.compiled import compiled_log_probs, compiled_values
from training.compiled_sampling import (
  compiled_beginning,
  compiled_continuation,
  compiled_sampler,
)
from training.parts import Parts
from training.sources.writer import samplers
from training.state import TrainState
from training.update import compiled_update

ADDED = ("old_logps", "ref_logps", "sampler_logps", "old_values")  # to groups, [B, K, T]


@dataclasses.dataclass(frozen=True)
class Program:
  """A program of a step, to be compiled.

  Attributes:
    flops: of all devices, counted by hand (`flops.py`).
    tokens: that it reads, or draws.
    beside: bytes on each device that are held meanwhile and are no argument of it.
    estimated: bytes on each device, those beside included, as `memory.estimate` has it; 0: not.
    drawn: of a segment of the sampler: from which token to which, which only its arguments say.
  """

  name: str
  lower: Callable[[], Any]
  flops: int
  tokens: int
  beside: int
  estimated: int = 0
  drawn: tuple[int, int] = (0, 0)


def of_run(parts: Parts) -> list[Program]:
  """The update, the sampler, and the log-probs and values that the loss asks networks for."""
  config, words = parts.config, parts.words
  policy, _ = memory.networks(parts)
  state, groups = state_shapes(parts), groups_shapes(parts, config.batch_prompts)
  update_groups = groups_shapes(parts, config.batch_prompts // config.minibatches)
  estimate = memory.estimate(parts)
  held, updating, sampling = (
    sum(estimate[name] for name in names) for names in (memory.HELD, memory.UPDATE, memory.SAMPLING)
  )

  def beside(tree: Any) -> int:
    return max(0, held - memory.bytes_here(tree, parts.mesh))

  def lowered(function, *arguments):
    return lambda: function.for_a_single_run.lower(*arguments)

  whole = _batch(parts, config.batch_prompts)
  batch = _batch(parts, config.batch_prompts // config.minibatches)
  placed = on_mesh(policy, parts.mesh)
  # With adapters no gradient in the weights under them is computed.
  passes = 1 if adapters.are_in(policy) else flops.BACKWARD
  networks = 2 if state.critic is not None else 1
  found = [
    Program(
      "update",
      lowered(compiled_update(parts.update_spec), state, update_groups, parts.numbers),
      networks * (1 + passes) * flops.score(parts.model, batch),
      batch.tokens,
      beside(state),
      held + updating,
    )
  ]
  if config.source in ("online", "rounds"):
    for purpose, sampler in samplers(parts).items():
      name = "sampler" if purpose == "sampling" else f"sampler, {purpose}"
      drawn = dataclasses.replace(whole, group_size=sampler.group_size)
      found += _samplers(name, sampler, parts, placed, drawn, beside(policy), held + sampling)
  plain = dataclasses.replace(groups, **dict.fromkeys(ADDED))
  # From the host the reference comes beside all that is held.
  from_host = config.reference.memory == "host"
  score = flops.score(parts.model, whole), whole.tokens, held if from_host else beside(policy)
  if "ref_logps" in words or parts.recomputes:
    log_probs = compiled_log_probs(parts.model, parts.mesh)
    found.append(Program("log-probs", lowered(log_probs, placed, plain, 1.0), *score))
  if "old_values" in words:
    values = compiled_values(parts.model, parts.mesh)
    critic = flops.forward(parts.model, whole, heads=0), whole.tokens, beside(state.critic)
    found.append(Program("values", lowered(values, state.critic, plain), *critic))
  return found


def _samplers(
  name: str,
  sampler: Sampler,
  parts: Parts,
  policy: Any,
  whole: flops.Batch,
  beside: int,
  estimated: int,
) -> list[Program]:
  """A sampler, or its first and its last segment."""
  model, mesh = parts.model, parts.mesh
  groups = groups_shapes(parts, whole.prompts)
  key = _placed(jax.eval_shape(jax.random.key, 0), replicated(mesh))
  asked = policy, groups.prompts, groups.prompt_mask, key, 1.0
  ends = drawing.segments(sampler.max_tokens)
  is_cut = number_of_cuts(whole.prompts, sampler.prompts_at_once) > 1

  def program(name, function, arguments, since, until):
    drawn = [dataclasses.replace(whole, response_tokens=end) for end in (since, until)]
    before, after = (flops.sample(model, batch) if batch.response_tokens else 0 for batch in drawn)
    tokens, lower = whole.responses * (until - since), function.for_a_single_run.lower
    return Program(
      name, lambda: lower(*arguments), after - before, tokens, beside, estimated, (since, until)
    )

  if len(ends) == 1 or is_cut:
    return [program(name, compiled_sampler(model, sampler, mesh), asked, 0, ends[-1])]
  begin = compiled_beginning(model, sampler, mesh, ends[0])
  go_on = compiled_continuation(model, sampler, mesh, ends[-1])
  begun = jax.eval_shape(
    compiled_beginning(model, sampler, mesh, ends[-2]).for_a_single_run, *asked
  )
  return [
    program(f"{name}, to {ends[0]}", begin, asked, 0, ends[0]),
    program(f"{name}, to {ends[-1]}", go_on, (policy, begun, None, key, 1.0), *ends[-2:]),
  ]


def state_shapes(parts: Parts) -> TrainState:
  """The state of training, each leaf where it lies on the mesh."""
  policy, trained = memory.networks(parts)
  state = TrainState(
    trained["params"],
    moments=jax.eval_shape(parts.optimizer().init, memory.moved(trained)),
    step=jax.ShapeDtypeStruct((), jnp.int32),
    critic=trained.get("critic"),
    reference=policy if parts.config.reference.every else None,
    reward_mean=jax.ShapeDtypeStruct((), jnp.float32),
    beta=jax.ShapeDtypeStruct((), jnp.float32) if parts.config.reference.target_kl else None,
  )
  return on_mesh(state, parts.mesh)


def groups_shapes(parts: Parts, prompts: int) -> Groups:
  """A batch of so many prompts, with the arrays that the loss names, on the mesh."""
  groups, words = memory.shapes_of_groups(parts, prompts), parts.words
  tokens = jax.ShapeDtypeStruct(groups.responses.shape, jnp.float32)
  rewards = groups.rewards
  several = jax.ShapeDtypeStruct((*rewards.shape, len(parts.task.reward_names)), jnp.float32)
  by_prompt = jax.ShapeDtypeStruct((prompts,), jnp.float32)
  of_reference = jax.ShapeDtypeStruct((prompts, parts.config.reference.samples), jnp.float32)
  shapes = dict.fromkeys(ADDED, tokens) | {"reward_parts": several}
  shapes |= dict.fromkeys(("reward_baseline", "by_reference"), rewards)
  shapes |= {"greedy_rewards": by_prompt, "reference_rewards": of_reference}
  added = {name: shape for name, shape in shapes.items() if name in words}
  place = batch_sharding(parts.mesh)
  return jax.tree.map(lambda x: _placed(x, place), dataclasses.replace(groups, **added))


def on_mesh(tree: Any, mesh: Mesh) -> Any:
  """Shapes of parameters, each with its place."""
  return jax.tree.map(_placed, tree, parameter_shardings(tree, mesh))


def _placed(x: jax.ShapeDtypeStruct, sharding) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)


def _batch(parts: Parts, prompts: int) -> flops.Batch:
  config = parts.config
  tokens = parts.task.max_prompt_tokens, config.sampling.max_tokens
  return flops.Batch(prompts, config.group_size, *tokens)
