"""The ledger's small world: its rewards, its sampler and its training are those of the project."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algorithms import grpo
from claims import small_world
from claims.small_training import Setup, Variant, train
from claims.small_world import EOS, MAX_TOKENS, MODEL, PAD
from models.log_probs import token_log_probs

WORDS = [[PAD, PAD, 4, 5, 6], [2, 3, 4, 5, 9]]


@pytest.fixture(scope="module")
def policy():
  """Trained for a moment: it ends its responses at different places."""
  return small_world.base_policy(200)


@pytest.fixture(scope="module")
def groups(policy):
  return small_world.write(policy, jax.random.key(1), 512, 2)


@pytest.mark.parametrize(
  "word, response, exact, graded",
  [
    (0, [6, 5, 4, EOS, PAD, PAD], 1, 1),
    (0, [6, 5, 4, EOS, 2, PAD], 0, 1),  # the sampler never writes this; a claim's author might
    (0, [6, 5, 4, 4, EOS, PAD], 0, 3 / 4),
    (0, [EOS, PAD, PAD, PAD, PAD, PAD], 0, 0),
    (1, [9, 5, 4, 3, 2, EOS], 1, 1),
    (1, [9, 5, 3, 4, 2, EOS], 0, 4 / 6),
    (1, [9, 5, 4, 3, 2, 2], 0, 5 / 6),
  ],
)
def test_rewards_by_hand(word, response, exact, graded):
  words, responses = jnp.array([WORDS[word]]), jnp.array([[response]])
  np.testing.assert_allclose(small_world.exact_reward(words, responses), [[exact]])
  np.testing.assert_allclose(small_world.graded_reward(words, responses), [[graded]], rtol=1e-6)


def test_words_are_left_padded_and_their_answers_right():
  words, mask = small_world.draw_words(jax.random.key(0), 200)
  answers, answer_mask = small_world.right_answers(words)
  for word, kept, answer, written in zip(words, mask, answers, answer_mask, strict=True):
    letters = [int(letter) for letter, keep in zip(word, kept, strict=True) if keep]
    assert 3 <= len(letters) <= 5 and min(letters) >= 2
    expected = [*reversed(letters), EOS]
    assert answer.tolist() == expected + [PAD] * (MAX_TOKENS - len(expected))
    assert written.sum() == len(expected)
  assert (small_world.exact_reward(words, answers[:, None]) == 1).all()


def test_the_samplers_log_probs_are_those_that_training_sees(policy, groups):
  logps = token_log_probs(MODEL, policy, groups)[0]
  assert groups.mask.sum(axis=-1).min() < MAX_TOKENS  # some end early
  np.testing.assert_allclose(
    jnp.where(groups.mask, logps, 0), jnp.where(groups.mask, groups.old_logps, 0), atol=2e-5
  )


def test_solved_is_the_share_that_sampling_solves(policy, groups):
  solved, rewards = small_world.evaluate(policy, policy).solved, groups.rewards
  assert rewards.std() > 0.05
  assert abs(rewards.mean() - solved) < 4 * rewards.std() / 256**0.5  # other words, fewer


def test_kl_to_itself_is_zero(policy):
  np.testing.assert_allclose(small_world.evaluate(policy, policy).kl, 0, atol=1e-5)


def test_training_repeats_itself_and_its_numbers_matter(policy):
  setup = Setup(16, 4, snapshots=2, losses=(("grpo", grpo),))
  start = {"params": policy}
  variants = {
    "once": Variant("grpo", 1e-3, 8, start=start, setup=setup),
    "again": Variant("grpo", 1e-3, 8, start=start, setup=setup),
    "faster": Variant("grpo", 1e-2, 8, start=start, setup=setup),
    "offline": Variant("grpo", 1e-3, 8, period=8, start=start, setup=setup),
  }
  ends = {
    name: jax.flatten_util.ravel_pytree(jax.tree.map(lambda x: x[-1], history.params))[0]
    for name, (history,) in train(variants, [0]).items()
  }
  start = jax.flatten_util.ravel_pytree(policy)[0]
  moved = {name: float(jnp.linalg.norm(end - start)) for name, end in ends.items()}
  assert (ends["once"] == ends["again"]).all()
  assert moved["faster"] > 2 * moved["once"] > 0
  assert (ends["offline"] != ends["once"]).any()
