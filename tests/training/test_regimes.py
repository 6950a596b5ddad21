"""How groups are collected, scored, cut and repeated before and between the updates."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.groups import Groups
from models.scalar_head import with_scalar_head
from tests.training.small_configs import SMALL_MODEL
from training import build
from training.annotate import annotate
from training.batches import batch_metrics, batch_warnings, minibatches, sampling_warnings
from training.checking import config_files, validate
from training.checking.loss_signatures import words_of
from training.errors import UserError
from training.evaluation import is_right
from training.layouts import Lengths
from training.loop import means
from training.scoring import Scorer, soft_overlong_penalty
from training.sources.batch import is_tied
from training.sources.online import Online
from training.start import starting_state
from training.state import mixed, moved_mean, random_params

CORRECTS = "truncated_grpo"  # a loss that corrects for the sampler
SMALL = {
  "steps": 10,
  "task.train_prompts": 64,
  "task.eval_prompts": 16,
  "task.reward": "scorer",
  "group_size": 4,
  "batch_prompts": 8,
  **SMALL_MODEL,
}


def parts_of(config="configs/grpo.py", **overrides):
  return build.parts_of(config_files.load(config, SMALL | overrides))


@pytest.fixture(scope="module")
def policy():
  parts = parts_of()
  return random_params(parts.model, parts.mesh, seed=0)


def finished_groups(rewards, lengths, finished, t=8):
  """Groups of these rewards and lengths, on the host, without texts."""
  b, k = np.shape(rewards)
  mask = np.arange(t) < np.array(lengths)[..., None]
  tokens = np.zeros((b, k, t), np.int32)
  prompts = np.zeros((b, 3), np.int32)
  groups = Groups(prompts, prompts == 0, tokens, mask, np.array(rewards, np.float32))
  return groups, np.array(finished)


# --- minibatches and inner steps ------------------------------------------------------------------


def test_every_inner_epoch_sees_every_group_once_and_whole_in_another_order():
  parts = parts_of(inner_epochs=3, minibatches=4)
  rewards = np.arange(8 * 4).reshape(8, 4)
  groups, _ = finished_groups(rewards, np.ones((8, 4)), np.ones((8, 4), bool))
  lengths = Lengths.of(parts, groups)
  pieces = minibatches(parts, groups, lengths, step=5)
  assert len(pieces) == 12 and all(piece.rewards.shape == (2, 4) for piece in pieces)
  epochs = [np.concatenate([p.rewards for p in pieces[i : i + 4]]) for i in (0, 4, 8)]
  for epoch in epochs:
    assert sorted(epoch[:, 0]) == list(range(0, 32, 4))
    assert (np.diff(epoch) == 1).all()  # the four responses of a prompt stayed together
  assert (epochs[0] != epochs[1]).any()
  again = minibatches(parts, groups, lengths, step=5)
  assert all((a.rewards == b.rewards).all() for a, b in zip(pieces, again, strict=True))


def test_the_schedule_counts_updates():
  settings = SMALL | {"inner_epochs": 2, "minibatches": 4, "optimizer.warmup_steps": 3}
  numbers = parts_of(**settings).numbers["optimizer"]
  assert numbers["steps"] == 10 * 8 and numbers["warmup_steps"] == 3 * 8


def test_a_steps_metrics_are_the_means_of_its_updates():
  assert means([{"loss": 1.0}, {"loss": 3.0}]) == {"loss": 2.0}


# --- scoring --------------------------------------------------------------------------------------


def test_the_soft_overlong_penalty_falls_from_0_to_minus_1_over_its_last_tokens():
  # limit 8, 4 tokens of it penalised: lengths 3, 4 are free; 5 -> -1/4, 6 -> -2/4, 8 -> -1
  mask = np.arange(8) < np.array([3, 4, 5, 6, 8])[:, None]
  penalty = soft_overlong_penalty(mask[None], 8, 4)
  np.testing.assert_allclose(penalty, [[0, 0, -0.25, -0.5, -1]])
  assert (soft_overlong_penalty(mask[None], 8, 0) == 0).all()


def test_responses_without_an_end_get_their_own_reward_and_can_be_left_out():
  groups, finished = finished_groups([[1, 0, 0, 1]], [[2, 8, 3, 4]], [[True, False, True, True]])
  scored = Scorer(parts_of(**{"scoring.unfinished": -2.0}))(groups, finished)
  assert scored.rewards.tolist() == [[1, -2, 0, 1]]
  assert (scored.mask == groups.mask).all()
  masked = Scorer(parts_of(**{"scoring.mask_truncated": True}))(groups, finished)
  assert masked.mask.sum(axis=-1).tolist() == [[2, 0, 3, 4]]


@pytest.mark.parametrize(
  "reward, given, cut_off",
  [
    ("scorer", [1, 0, 0], 0),
    ("scorer", [1, 0, -1], -1),  # a wrong response's, whatever function gave it
    ("scorer - 0.5*length(max=3)", [1, 0, 0], -0.5),
    ("scorer", [1, np.nan, -np.inf], 0),
  ],
)
def test_a_response_without_an_end_gets_no_more_than_a_wrong_one(reward, given, cut_off):
  groups, finished = finished_groups(
    [given, [1, 1, 0]], np.full((2, 3), 8), np.array([[True] * 3, [True, True, False]])
  )
  parts = parts_of(**{"task.reward": reward})
  assert Scorer(parts)(groups, finished).rewards[1].tolist() == [1, 1, cut_off]


def test_of_rewards_that_are_looked_at_apart_each_is_the_least():
  parts = parts_of(**{"task.reward": "scorer + exact", "algorithm.loss": "gdpo"})
  groups, finished = finished_groups([[1, 1]], [[2, 8]], [[True, False]])
  each = np.array([[[1, -2], [0, 0]]], np.float32)
  scored = Scorer(parts)(dataclasses.replace(groups, reward_parts=each), finished)
  assert scored.reward_parts.tolist() == [[[1, -2], [0, -2]]]


def test_an_unfinished_reward_above_a_wrong_one_is_said(policy):
  for unfinished, warned in ((-1.0, False), (0.5, True)):
    parts = parts_of(**{"scoring.unfinished": unfinished, "sampling.max_tokens": 12})
    batch = Online(parts, Scorer(parts)).collect(0, policy)
    assert not batch.scored.finished.all() and batch.scored.finished.any()
    said = " ".join(batch_warnings(parts.config, batch))
    assert ("teaches never to stop" in said) == warned


def test_a_reward_model_judges_instead_of_the_task(policy):
  parts = parts_of(**{"scoring.unfinished": -5.0})
  groups, finished = finished_groups([[1, 0]], [[2, 3]], [[True, False]])
  judge = with_scalar_head(policy)
  judge["scalar_head"] = judge["scalar_head"].at[-1].set(0.25)  # its bias: 0.25 whatever it reads
  assert Scorer(parts, judge)(groups, finished).rewards.tolist() == [[0.25, -5]]


def test_unscored_responses_are_counted():
  config = config_files.load("configs/grpo.py", SMALL)
  parts = parts_of()
  batch = Online(parts, Scorer(parts)).collect(0, random_params(parts.model, parts.mesh, 0))
  rewards = batch.groups.rewards.copy()
  rewards[0, :3], rewards[1] = np.nan, np.nan
  scored = dataclasses.replace(batch.groups, rewards=rewards)
  batch = dataclasses.replace(batch, scored=dataclasses.replace(batch.scored, groups=scored))
  metrics = batch_metrics(config, batch, ("scorer",))
  assert metrics["unscored"] == pytest.approx(7 / 32)
  assert np.isfinite(list(metrics.values())).all()


def test_a_group_is_tied_when_no_two_scored_responses_differ():
  nan = np.nan
  rewards = np.array([[1, 1, 1], [1, nan, 1], [1, 0, nan], [nan, nan, nan], [nan, 2, nan]])
  assert is_tied(rewards).tolist() == [True, True, False, True, True]


# --- dynamic sampling -----------------------------------------------------------------------------


def test_dynamic_sampling_replaces_groups_of_equal_rewards_and_counts_what_it_drew(policy):
  plain = parts_of()
  parts = parts_of(**{"sampling.refills": 8})
  first = Online(plain, Scorer(plain)).collect(0, policy)
  filled = Online(parts, Scorer(parts)).collect(0, policy)
  tied = is_tied(first.groups.rewards)
  assert tied.any()  # an untrained policy rarely ends a word
  assert is_tied(filled.groups.rewards).sum() == filled.tied_left < tied.sum()
  assert filled.rollouts > first.rollouts == 32
  kept = ~tied
  assert (filled.groups.responses[kept] == first.groups.responses[kept]).all()
  prompts = [parts.task.train[row].prompt for row in filled.scored.rows]
  rows = zip(filled.groups.prompts, filled.groups.prompt_mask, strict=True)
  texts = [parts.task.tokenizer.decode(row[mask]) for row, mask in rows]
  assert texts == prompts  # rows and prompts moved together
  again = Online(parts, Scorer(parts)).collect(0, policy)
  assert (again.groups.responses == filled.groups.responses).all()


# --- what networks add to a batch ---------------------------------------------------------------


def test_only_what_the_loss_names_is_computed():
  assert "ref_logps" not in words_of(config_files.load("configs/grpo.py", SMALL))
  with_kl = config_files.load("configs/grpo.py", SMALL | {"algorithm.beta": 0.1})
  assert "ref_logps" in words_of(with_kl)
  parts = parts_of("configs/ppo.py", group_size=1)
  state = starting_state(parts, random_params(parts.model, parts.mesh, 0))
  batch = Online(parts, Scorer(parts)).collect(0, state.params)
  groups = annotate(parts, state, state.params, batch.groups)
  assert groups.old_values.shape == groups.ref_logps.shape == groups.mask.shape
  np.testing.assert_allclose(groups.old_values, 0)  # the critic begins by saying 0
  np.testing.assert_allclose(
    np.where(groups.mask, groups.ref_logps, 0), groups.old_logps, atol=1e-5
  )
  assert groups.sampler_logps is None and groups.reward_baseline is None


def test_what_top_p_draws_is_corrected_for_or_warned_of(policy):
  corrected = {"sampling.top_p": 0.5, "algorithm.loss": CORRECTS}
  parts = parts_of(**corrected)
  batch = Online(parts, Scorer(parts)).collect(0, policy)
  state = starting_state(parts, policy)
  groups = annotate(parts, state, None, batch.groups)
  mask = groups.mask
  assert (groups.sampler_logps >= groups.old_logps - 1e-5)[mask].all()
  assert (groups.sampler_logps > groups.old_logps + 0.1)[mask].any()
  np.testing.assert_allclose(groups.old_logps[mask], batch.groups.old_logps[mask], atol=1e-5)
  warned = {
    CORRECTS: sampling_warnings(parts.config, parts.loss.words),
    "plain": sampling_warnings(parts.config, frozenset({"old_logps"})),
    "whole": sampling_warnings(config_files.load("configs/grpo.py", SMALL), frozenset()),
  }
  assert not warned[CORRECTS] and not warned["whole"]
  assert warned["plain"][0].startswith(
    "sampling.top_p=0.5: responses are not drawn from the policy"
  )


# --- what evaluation calls right ----------------------------------------------------------------


def test_pass_at_n_is_of_one_reward_of_the_sum():
  groups, _ = finished_groups([[3, 2]], [[2, 2]], [[True, True]])
  groups = dataclasses.replace(groups, reward_parts=np.array([[[2, 0.9, 1], [0, 1, np.nan]]]))
  reward = "length(max=9) + scorer + exact"
  found = {
    right: is_right(parts_of(**{"task.reward": reward, "eval.right": right}), groups)
    for right in ("", "length", "exact")
  }
  assert {name: np.asarray(value).tolist() for name, value in found.items()} == {
    "": [[False, True]],
    "length": [[True, False]],
    "exact": [[True, False]],
  }
  with pytest.raises(UserError, match="eval.right"):
    validate.check(config_files.load("configs/grpo.py", SMALL | {"eval.right": "vader"}))


def test_the_critic_begins_as_the_reward_model(policy):
  parts = parts_of("configs/ppo.py", group_size=1)
  judge = with_scalar_head(policy)
  judge["scalar_head"] = judge["scalar_head"] + 0.5
  state = starting_state(parts, policy, judge)
  assert (state.critic["scalar_head"] == 0.5).all()
  assert state.critic["scalar_head"] is not judge["scalar_head"]


def test_the_reference_moves_towards_the_policy(policy):
  zero = jax.tree.map(jnp.zeros_like, policy)
  half = mixed(zero, policy, 0.5)
  np.testing.assert_allclose(half["embedding"], policy["embedding"] / 2)
  assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), mixed(zero, policy, 1.0), policy))
  parts = parts_of("configs/dpo.py", **{"reference.every": 2})
  state = starting_state(parts, policy)
  np.testing.assert_array_equal(state.reference["embedding"], policy["embedding"])
  assert starting_state(parts_of("configs/dpo.py"), policy).reference is None


def test_the_running_mean_of_rewards_leaves_unscored_ones_out():
  rewards = jnp.array([[1.0, jnp.nan], [0.0, 1.0]])
  assert moved_mean(jnp.array(0.5), rewards, 1.0) == pytest.approx(2 / 3)
  assert moved_mean(jnp.array(0.5), rewards, 0.1) == pytest.approx(0.5 + 0.1 * (2 / 3 - 0.5))
  assert moved_mean(jnp.array(0.5), jnp.full((1, 2), jnp.nan), 0.1) == 0.5
