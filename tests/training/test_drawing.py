"""Drawing in segments draws what one program draws, wherever the responses stand meanwhile."""

import dataclasses

import jax
import numpy as np
import pytest

from models.partitioning import make_mesh
from models.sampler import Sampler
from tests.models.tiny import EOS, GEMMA3, PAD, TINY, ragged_groups, tiny_params
from tests.training.small_configs import SMALL_MODEL
from training import build, drawing
from training.checking import config_files
from training.compiled_sampling import compiled_sampler
from training.drawing import draw, moves, segments

SAMPLER = Sampler(max_tokens=24, eos_ids=(EOS, 5, 9), pad_id=PAD, group_size=4)
SAMPLERS = {
  "plain": SAMPLER,
  "top-k": dataclasses.replace(SAMPLER, top_k=5),
  "greedy": dataclasses.replace(SAMPLER, group_size=1, greedy=True),
  "K=3": dataclasses.replace(SAMPLER, group_size=3),
  "in parts": dataclasses.replace(SAMPLER, prompts_at_once=2),
}


@pytest.fixture(scope="module")
def parts():
  settings = SMALL_MODEL | {"task.train_prompts": 16, "task.eval_prompts": 8}
  return build.parts_of(config_files.load("configs/grpo.py", settings))


def both(monkeypatch, parts, sampler, model=TINY, shape=(1, 1, 1)):
  """The samples of one segment, those of several, and how often responses moved."""
  data, fsdp, tensor = shape
  parts = dataclasses.replace(parts, model=model, mesh=make_mesh(data, fsdp, tensor))
  groups = jax.tree.map(np.asarray, ragged_groups(p=5))
  given = tiny_params(model), groups.prompts, groups.prompt_mask, jax.random.key(3)
  at_once = jax.device_get(compiled_sampler(model, sampler, make_mesh())(*given, 1.3))
  moved, how = [], drawing.moves
  monkeypatch.setattr(drawing, "FIRST", 3)

  def counted(*args):
    moved.append(how(*args))
    return moved[-1]

  monkeypatch.setattr(drawing, "moves", counted)
  return at_once, draw(parts, sampler, *given, 1.3), sum(move is not None for move in moved)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_draws_are_those_of_one_program(monkeypatch, parts, name):
  at_once, found, moved = both(monkeypatch, parts, SAMPLERS[name])
  assert moved or name in ("greedy", "in parts")
  for name, x, y in zip(at_once._fields, at_once, found, strict=True):
    if x is None:
      assert y is None
    else:
      np.testing.assert_allclose(y, x, rtol=1e-5, atol=1e-6, err_msg=name)


def test_windows_see_as_far_in_every_segment(monkeypatch, parts):
  at_once, found, moved = both(monkeypatch, parts, SAMPLER, model=GEMMA3)
  assert moved
  np.testing.assert_array_equal(found.responses, at_once.responses)
  np.testing.assert_allclose(found.logps, at_once.logps, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 2, 2), (1, 8, 1)])
def test_on_a_mesh_every_device_keeps_its_own(monkeypatch, parts, shape):
  at_once, found, moved = both(monkeypatch, parts, SAMPLER, shape=shape)
  assert moved
  np.testing.assert_array_equal(found.responses, at_once.responses)
  np.testing.assert_array_equal(found.finished, at_once.finished)
  np.testing.assert_allclose(found.logps, at_once.logps, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("going", [0.02, 0.2, 0.5])
@pytest.mark.parametrize("parts_of_batch", [1, 4])
def test_all_that_goes_on_moves_once_into_fewer_places(going, parts_of_batch):
  ended = np.random.default_rng(0).random((32, 8)) >= going
  move = moves(ended, parts_of_batch)
  if move is None:
    assert going == 0.5
    return
  row, slot = move
  found = [
    (f * 32 // parts_of_batch + r, k)
    for f in range(parts_of_batch)
    for r, ks in zip(row[f], slot[f], strict=True)
    for k in ks
    if k >= 0
  ]
  assert sorted(found) == sorted(zip(*np.nonzero(~ended), strict=True))
  assert slot.size <= drawing.WORTH * ended.size


def test_nothing_moves_where_most_go_on():
  assert moves(np.zeros((8, 4), bool), 2) is None


def test_segments_double_and_short_responses_have_one():
  assert segments(8) == [8] and segments(128) == [128]
  assert segments(129) == [64, 128, 129] and segments(1024) == [64, 128, 256, 512, 1024]
