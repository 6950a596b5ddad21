"""The estimate of memory: what it counts, and what it refuses."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import pytest

from training import build, memory
from training.checking import config_files
from training.errors import UserError
from training.optimizer import OPTIMIZERS
from training.state import new_state, random_params
from training.update import compiled_update

SMALL = {
  "task.train_prompts": 64,
  "task.eval_prompts": 16,
  "model.layers": 2,
  "batch_prompts": 16,
  "sampling.max_tokens": 16,
}
QUARTERS = {"mesh.fsdp": 2, "mesh.tensor": 2}


@pytest.fixture(scope="module")
def parts_of():
  """Parts of a config, on one device whatever mesh it names: memory is counted from the config."""
  task = build.parts_of(config_files.load("configs/grpo.py", SMALL)).task

  def parts_of(config="configs/grpo.py", **overrides):
    return build.put_together(config_files.load(config, SMALL | overrides), task)

  return parts_of


@pytest.fixture(scope="module")
def estimate(parts_of):
  """Of such a config, each once."""
  return functools.cache(
    lambda config="configs/grpo.py", **overrides: memory.estimate(parts_of(config, **overrides))
  )


def size_of(tree):
  return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))


def test_what_is_held_is_counted_to_the_byte(parts_of, estimate):
  parts = parts_of()
  state = new_state(random_params(parts.model, parts.mesh, 0), parts.mesh)
  found = estimate()
  assert found["parameters"] == found["reference"] == size_of(state.params)
  assert found["optimizer"] == size_of(state.moments)
  assert found["critic"] == found["reward model"] == 0
  ppo = estimate("configs/ppo.py", **{"scoring.reward": "model"})
  assert ppo["critic"] == ppo["reward model"] > found["parameters"]
  assert ppo["optimizer"] > 2 * found["optimizer"]
  for name, optimizer in OPTIMIZERS.items():
    moments = optimizer().init(state.trained)
    assert estimate(**{"optimizer.name": name})["optimizer"] == size_of(moments)


def test_the_update_takes_about_what_xla_allocates(parts_of, estimate):
  parts, found = parts_of(), estimate()
  groups = memory.shapes_of_groups(parts, 16)
  groups = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), groups)
  groups = dataclasses.replace(groups, old_logps=jnp.zeros(groups.mask.shape))
  state = new_state(random_params(parts.model, parts.mesh, 0), parts.mesh)
  update = compiled_update(parts.update_spec)
  # pyrefly: ignore[missing-attribute]
  compiled = update.for_a_single_run.lower(state, groups, parts.numbers).compile()
  allocated = compiled.memory_analysis().temp_size_in_bytes
  estimated = sum(found[name] for name in memory.UPDATE)
  assert 0.6 < estimated / allocated < 1.2


def test_the_sampler_holds_weights_cast_and_whole_over_fsdp(estimate):
  whole = estimate()["parameters"]
  assert estimate()["decoding weights"] == whole
  assert estimate(**{"model.dtype": "bfloat16", "mesh.fsdp": 2})["decoding weights"] == whole // 2
  assert whole // 2 < estimate(**QUARTERS)["decoding weights"] < 0.6 * whole


def test_knobs_make_smaller_what_they_should(estimate):
  whole, quarters = estimate(), estimate(**QUARTERS)
  assert estimate(**{"mesh.fsdp": 4})["activations"] == whole["activations"] // 4
  assert quarters["optimizer"] < 0.3 * whole["optimizer"]  # norms are on every device
  # What is as wide as the residual stream is on each device of `tensor`.
  assert whole["activations"] / 4 < quarters["activations"] < whole["activations"] / 2
  pieces = estimate(micro_batches=4)
  assert pieces["activations"] < 0.3 * whole["activations"]
  assert pieces["parameters"] == whole["parameters"]


def test_what_cannot_fit_is_refused_with_what_to_change(parts_of, estimate, monkeypatch):
  parts = parts_of()
  memory.check(parts)
  needed = memory.total(estimate())
  monkeypatch.setattr(memory, "device_memory", lambda: int(memory.SURE * needed) - 1)
  with pytest.raises(UserError) as error:
    memory.check(parts)
  first, second = str(error.value).splitlines()
  assert first.startswith("not enough memory: a device has ") and "most of it: activations" in first
  assert "micro_batches (now 1)" in second and second.endswith("lower batch_prompts (now 16)")
  monkeypatch.setattr(memory, "device_memory", lambda: needed)
  memory.check(parts)


def test_a_line_for_people(parts_of):
  said = memory.describe(
    {"parameters": 1536, "optimizer": 3 * 2**30, "reference": 0}
    | {name: 0 for name in ("critic", "reward model", *memory.UPDATE, *memory.SAMPLING)}
  )
  assert said == "about 3 GiB on each device: parameters 1.5 KiB, optimizer 3 GiB"
