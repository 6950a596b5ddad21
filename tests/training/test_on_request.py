"""Sampling that a loss asks for: whose responses, what they cost, what a resumed run knows."""

import dataclasses
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models import adapters
from tests.training.small_configs import SMALL_MODEL
from tests.training.stopped_runs import rows_of, whole_and_resumed
from training import build
from training.checking import budget, config_files
from training.compiled import compiled_log_probs
from training.evaluation import draw_held_out
from training.records.run_folder import RunFolder
from training.records.waiting import Waiting
from training.scoring import Scorer
from training.sources.batch import Batch
from training.sources.online import Online
from training.state import random_params
from training.targets import programs

SMALL = SMALL_MODEL | {
  **{"steps": 6, "batch_prompts": 8, "group_size": 4, "task.train_prompts": 32},
  **{"task.eval_prompts": 8, "base.steps": 0, "checkpoint.every": 3, "eval.every": 6},
  **{"wandb.mode": "disabled", "eval.samples": 1, "task.reward": "length(max=5)"},
}
MESH = {"mesh.data": 2, "mesh.fsdp": 4}
LOSSES = ("remax", "a_star_po", "xpo")


def config_of(name, **fields):
  samples = {"reference.samples": 3} if name == "a_star_po" else {}
  return config_files.load(f"configs/{name}.py", SMALL | samples | fields)


def parts_of(name, **fields):
  return build.parts_of(config_of(name, **fields))


def letters(completion):
  """A reward that hardly any two responses share."""
  return sum(map(ord, completion)) % 97 / 97


def parts_that_score_anything(name, **fields):
  """An untrained policy's responses have no end."""
  parts = parts_of(name, **{"task.reward": f"{__name__}:letters"} | fields)
  return dataclasses.replace(parts, task=dataclasses.replace(parts.task, scores_unfinished=True))


@pytest.fixture(scope="module")
def policies():
  """(policy, reference): two that write differently."""
  parts = parts_of("grpo")
  return tuple(random_params(parts.model, parts.mesh, seed) for seed in (0, 1))


def collected(parts, policies, step=0) -> Batch:
  return Online(parts, Scorer(parts), policies[1]).collect(step, policies[0])


def assert_same(found, expected):
  assert jax.tree.structure(found) == jax.tree.structure(expected)
  for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
    np.testing.assert_array_equal(x, y)


def test_what_no_loss_names_is_not_drawn_and_what_one_names_changes_nothing_else(policies):
  plain = collected(parts_of("grpo"), policies)
  assert plain.rollouts == 8 * 4
  for name, word, more in (("remax", "greedy_rewards", 1), ("a_star_po", "reference_rewards", 3)):
    asked = collected(parts_of(name), policies)
    assert getattr(plain.groups, word) is None and getattr(asked.groups, word) is not None
    without = dataclasses.replace(asked.groups, **{word: None})
    assert_same(dataclasses.replace(asked.scored, groups=without), plain.scored)
    assert asked.rollouts == 8 * (4 + more)


def test_the_greedy_reward_is_that_of_the_response_that_evaluation_takes_for_greedy(policies):
  parts = parts_that_score_anything("remax")
  task = dataclasses.replace(parts.task, evaluation=parts.task.train)
  parts = dataclasses.replace(parts, task=task)
  greedy = draw_held_out(parts, policies[0], jax.random.key(5), 1, greedy=True)[0]
  batch = collected(parts, policies)
  assert batch.groups.greedy_rewards.dtype == np.float32
  np.testing.assert_array_equal(batch.groups.greedy_rewards, greedy.rewards[batch.scored.rows, 0])
  assert len(set(batch.groups.greedy_rewards.tolist())) > 1
  hotter = parts_that_score_anything("remax", **{"sampling.temperature": 3.0})
  np.testing.assert_array_equal(
    collected(hotter, policies).groups.greedy_rewards, batch.groups.greedy_rewards
  )


def test_a_greedy_response_without_an_end_is_scored_as_the_others_are(policies):
  batch = collected(parts_of("remax", **{"scoring.unfinished": -7.0}), policies)
  assert -7 in batch.groups.rewards and -7 in batch.groups.greedy_rewards


def test_a_prompt_that_comes_again_keeps_its_reference_rewards_and_costs_no_more(policies):
  """32 prompts, 8 a step: they come again from step 4 on."""
  parts = parts_that_score_anything("a_star_po")
  online, seen = Online(parts, Scorer(parts), policies[1]), {}
  for step in range(8):
    policy = policies[step % 2]  # the policy has no part in it
    batch = online.collect(step, policy)
    assert batch.rollouts == 8 * (4 + (3 if step < 4 else 0))
    rewards = batch.groups.reference_rewards
    assert rewards.shape == (8, 3) and rewards.dtype == np.float32
    for row, found in zip(batch.scored.rows.tolist(), rewards, strict=True):
      np.testing.assert_array_equal(found, seen.setdefault(row, found))
  assert len(seen) == 32
  assert len(np.unique(np.stack([*seen.values()]))) > 1


def test_a_batch_with_one_new_prompt_is_drawn_whole_and_known_prompts_stay(policies):
  """Of 12 prompts 8 come in step 0, and 4 of those again in step 1."""
  parts = parts_that_score_anything("a_star_po", **{"task.train_prompts": 12})
  online = Online(parts, Scorer(parts), policies[1])
  first, second = (online.collect(step, policies[0]) for step in (0, 1))
  assert first.rollouts == second.rollouts == 8 * 7
  known = dict(zip(first.scored.rows.tolist(), first.groups.reference_rewards, strict=True))
  again = [row for row in second.scored.rows.tolist() if row in known]
  assert again
  for row, found in zip(second.scored.rows, second.groups.reference_rewards, strict=True):
    if row in known:
      np.testing.assert_array_equal(found, known[row])


@pytest.mark.parametrize(("k", "theirs"), [(2, 1), (4, 2), (5, 2)])
def test_half_of_xpos_responses_are_the_references(policies, k, theirs):
  batch = collected(parts_of("xpo", group_size=k), policies)
  wanted = np.repeat([[0.0] * (k - theirs) + [1.0] * theirs], 8, axis=0)
  np.testing.assert_array_equal(batch.groups.by_reference, wanted)
  assert batch.rollouts == 8 * k and batch.groups.rewards.shape == (8, k)
  own = collected(parts_of("grpo", group_size=k - theirs), policies).scored
  assert_same(own.groups.responses, batch.groups.responses[:, : k - theirs])
  assert_same(own.finished, batch.scored.finished[:, : k - theirs])
  for who, part in ((0, slice(k - theirs)), (1, slice(k - theirs, k))):
    one = dataclasses.replace(
      batch.groups,
      **{
        name: getattr(batch.groups, name)[:, part]
        for name in ("responses", "mask", "rewards", "old_logps", "by_reference", "reward_parts")
      },
    )
    for other in (0, 1):
      logps = log_probs(policies[other], one)
      close = np.allclose(np.where(one.mask, logps - one.old_logps, 0), 0, atol=1e-4)
      assert close == (who == other)  # each was written by its own policy, whose log-probs it has


def log_probs(params, groups):
  parts = parts_of("grpo")
  return np.asarray(compiled_log_probs(parts.model, parts.mesh)(params, groups, 1.0)[0])


def test_under_adapters_the_reference_is_the_network_without_them():
  parts = parts_of("xpo", group_size=2, **{"model.lora_rank": 2})
  policy = random_params(parts.model, parts.mesh, 0)
  layers = dict(policy["layers"])
  layers = {n: jnp.ones_like(x) if n.endswith("_b") else x for n, x in layers.items()}
  moved = {**policy, "layers": layers}
  found = Online(parts, Scorer(parts), policy).collect(0, moved).groups
  plain = Online(parts, Scorer(parts), policy).collect(0, adapters.off(moved)).groups
  np.testing.assert_array_equal(found.responses[:, 1], plain.responses[:, 1])
  assert (found.responses[:, 0] != plain.responses[:, 0]).any()


@pytest.mark.parametrize(
  ("name", "wanted"),
  [
    ("grpo", {"sampler": 4}),
    ("remax", {"sampler": 4, "sampler, greedy": 1}),
    ("a_star_po", {"sampler": 4, "sampler, reference": 3}),
    ("xpo", {"sampler": 2, "sampler, half": 2}),
  ],
)
def test_the_programs_of_a_run_have_its_samplers_and_an_update_of_its_arrays(name, wanted):
  found = {program.name: program for program in programs.of_run(parts_of(name))}
  tokens = {name: one.tokens for name, one in found.items() if name.startswith("sampler")}
  assert tokens == {name: 8 * 8 * each for name, each in wanted.items()}
  found["update"].lower()  # which has all that the loss names


@pytest.mark.parametrize("name", LOSSES)
def test_eight_devices_draw_what_one_draws(name):
  one, eight = (parts_that_score_anything(name, **mesh) for mesh in ({}, MESH))
  found, expected = (
    collected(parts, [random_params(parts.model, parts.mesh, seed) for seed in (0, 1)])
    for parts in (eight, one)
  )
  assert found.rollouts == expected.rollouts
  for field in ("responses", "rewards", "greedy_rewards", "reference_rewards", "by_reference"):
    np.testing.assert_array_equal(getattr(found.groups, field), getattr(expected.groups, field))


def test_what_is_known_is_kept_and_read_again(policies, tmp_path):
  parts = parts_that_score_anything("a_star_po")
  files = Waiting(RunFolder(str(tmp_path)), "reference")
  online = Online(parts, Scorer(parts), policies[1], files)
  first = online.collect(0, policies[0])
  online.keep(1)
  later = Online(parts, Scorer(parts), policies[1], files)
  later.resume(1)
  again = later.collect(0, policies[0])
  assert_same(again.groups, first.groups)
  assert again.rollouts == first.rollouts - 8 * 3
  unasked = Online(parts_of("remax"), Scorer(parts), policies[1], files)
  unasked.keep(2)
  assert os.listdir(tmp_path / "reference") == ["1-0.npz"]


REGIMES = {
  "plain": {},
  "eight devices": MESH,
  "micro-batches": {"micro_batches": 2, "minibatches": 2, "inner_epochs": 2},
  "older": {"sampling.lag": 1, "replay.share": 0.5, "replay.size": 12},
}


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("name", LOSSES)
def test_a_run_that_was_stopped_ends_with_the_same_bits(tmp_path, name, regime):
  config = config_of(name, **{"task.train_prompts": 16} | REGIMES[regime])
  whole, resumed = whole_and_resumed(config, tmp_path)
  rows = rows_of(whole.folder)
  assert rows == rows_of(resumed.folder) and len(rows) == 7
  assert all(row["train/grad_norm"] > 0 for row in rows[1:])
  least, most = budget.rollouts(config.to_dict())
  assert least <= rows[-1]["rollouts"] <= most
  assert least == most or (name, regime) == ("a_star_po", "older")  # which prompts come again
