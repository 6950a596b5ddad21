"""Which batches are packed; and that neither a run nor a mesh can tell."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from algorithms import dapo, dpo
from models import packing
from models.partitioning import make_mesh
from tests.training.small_configs import SMALL_MODEL
from tests.training.test_meshes import MODEL, NUMBERS, groups_by_length
from training import build, layouts
from training.checking import config_files
from training.layouts import Lengths, laid_out, placed
from training.run import train
from training.state import new_state, random_params
from training.update import UpdateSpec, compiled_update

SMALL = SMALL_MODEL | {"batch_prompts": 8, "group_size": 2, "task.train_prompts": 16}
SMALL |= {"task.eval_prompts": 8, "base.steps": 0}


def groups_of(lengths, prompts, p=100, t=200):
  """Groups with so many tokens, each the number of its column."""
  rng = np.random.default_rng(0)
  groups = groups_by_length()
  lengths, prompts = np.array(lengths), np.array(prompts)
  mask = np.arange(t) < lengths[..., None]
  tokens = np.where(mask, rng.integers(2, 20, mask.shape), 0).astype(np.int32)
  prompt_mask = np.arange(p) >= p - prompts[:, None]
  asked = np.where(prompt_mask, rng.integers(2, 20, prompt_mask.shape), 0).astype(np.int32)
  drawn = rng.normal(-3, 0.1, (2, *mask.shape)).astype(np.float32)
  return dataclasses.replace(
    groups,
    prompts=asked,
    prompt_mask=prompt_mask,
    responses=tokens,
    mask=mask,
    old_logps=drawn[0],
    ref_logps=drawn[1],
  )


RAGGED = groups_of(np.arange(2, 34).reshape(8, 2, 2)[..., 0] * 3, range(5, 13))


@pytest.fixture(scope="module")
def parts():
  return build.parts_of(config_files.load("configs/dpo.py", SMALL))


def test_ragged_batches_are_packed_and_full_ones_are_not(parts):
  packed = placed(parts, RAGGED).layout
  assert packed.source.size < 0.5 * 8 * (100 + 2 * 200)
  assert placed(parts, groups_of(np.full((8, 2), 200), [100] * 8)).layout is None
  assert placed(parts, groups_of(np.full((8, 2), 190), [20] * 8)).layout is None


def test_the_lengths_are_those_of_what_counts():
  parts = build.parts_of(config_files.load("configs/dpo.py", SMALL))
  mask = np.zeros((2, 2, 4), bool)
  mask[0, 0, :2] = mask[1, 0, [0, 3]] = True  # a hole is read, too
  groups = dataclasses.replace(jax.tree.map(lambda x: x[:2], RAGGED), mask=mask)
  np.testing.assert_array_equal(Lengths.of(parts, groups).responses, [[2, 0], [4, 0]])


def three_updates(loss, shape, micro_batches, packed):
  mesh = make_mesh(*shape)
  config = config_files.load("configs/dpo.py", SMALL)
  parts = dataclasses.replace(build.parts_of(config), mesh=mesh, model=MODEL)
  lengths = Lengths.of(parts, RAGGED)
  groups = laid_out(parts, RAGGED, lengths, micro_batches) if packed else RAGGED
  assert (groups.layout is not None) == packed
  if packed:
    assert len(groups.layout.source) == shape[0] * shape[1] * micro_batches
  state, found = new_state(random_params(MODEL, mesh, seed=0), mesh), []
  spec = UpdateSpec(MODEL, mesh, loss, micro_batches=micro_batches)
  for _ in range(3):
    state, metrics, weights = compiled_update(spec)(state, groups, NUMBERS)
    found.append({name: float(x) for name, x in metrics.items()})
  return found, np.asarray(weights)


@pytest.mark.parametrize(
  ("loss", "shape", "micro_batches"),
  [(dpo, (1, 1, 1), 2), (dapo, (1, 1, 1), 1), (dpo, (2, 2, 2), 1), (dapo, (1, 2, 1), 2)],
)
def test_packed_updates_are_those_of_padded_groups_on_any_mesh(loss, shape, micro_batches):
  padded, weights = three_updates(loss, (1, 1, 1), 1, packed=False)
  packed, packed_weights = three_updates(loss, shape, micro_batches, packed=True)
  for before, after in zip(padded, packed, strict=True):
    for name, value in before.items():
      np.testing.assert_allclose(after[name], value, rtol=2e-4, atol=2e-5, err_msg=name)
  np.testing.assert_allclose(packed_weights, weights, rtol=1e-3, atol=1e-4)


def rows(path):
  """A file of pairs of very unequal lengths."""
  rng = np.random.default_rng(0)

  def text(longest):
    return " ".join(f"{n}" for n in rng.integers(0, 99, int(rng.integers(1, longest))))

  lines = [
    {"prompt": f"{i}: {text(20)}?", "chosen": f"yes {text(40)}", "rejected": f"no {text(40)}"}
    for i in range(32)
  ]
  path.write_text("".join(json.dumps(line) + "\n" for line in lines))
  return str(path)


CASES = {
  "dpo": ("configs/tasks/preferences.py:algorithm=dpo,data={}", {}),
  "a reward model": ("configs/tasks/preferences.py:algorithm=reward_model,data={}", {}),
  "minibatches": (
    "configs/tasks/groups.py:algorithm=off_policy_grpo,data={},k=2",
    {"minibatches": 2, "inner_epochs": 2, "micro_batches": 2, "algorithm.beta": 0.1},
  ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_run_on_packed_rows_has_the_metrics_of_one_on_padded_groups(tmp_path, monkeypatch, case):
  data = rows(tmp_path / "pairs.jsonl")
  config, settings = CASES[case]
  settings = SMALL | settings | {"steps": 2, "sampling.max_tokens": 128, "eval.every": 2}
  settings |= {"wandb.mode": "disabled", "checkpoint.every": 2, "optimizer.warmup_steps": 0}
  settings |= {"model.pretrained": "", "eval.samples": 2}
  laid, given = [], packing.lay_out
  monkeypatch.setattr(packing, "lay_out", lambda *a: laid.append(1) or given(*a))
  found = {}
  for name, worth in (("packed", layouts.WORTH), ("padded", 0.0)):
    monkeypatch.setattr(layouts, "WORTH", worth)
    config_here = config_files.load(config.format(data), settings)
    found[name] = train(config_here, str(tmp_path / name), root=str(tmp_path / "runs")).latest
    assert bool(laid) == (name == "packed")
    laid.clear()
  for name, value in found["padded"].items():
    if not any(word in name for word in ("second", "time", "perf")):
      np.testing.assert_allclose(found["packed"][name], value, rtol=1e-4, atol=1e-5, err_msg=name)
