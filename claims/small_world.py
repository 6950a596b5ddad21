"""A world small enough to try claims in: a real transformer that learns to spell words backward.

The prompt is a word of 3 to 5 letters of an alphabet of 8, the right answer its letters in reverse.
Words are drawn and answers are scored inside jax, so that collecting, training and evaluating are
compiled programs that never return to the host in between (`small_training`). There are 37,376
words; no run here sees half of them, and policies are evaluated on 256 words drawn separately.
"""

import dataclasses
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from algorithms import sft
from algorithms.divergences import k3
from algorithms.reductions import sequence_sum
from models import transformer
from models.groups import Groups
from models.log_probs import token_log_probs
from models.sampler import Sampler
from models.sampling import sample
from models.transformer import ModelConfig, Params
from training.optimizer import adamw, linear
from training.state import TrainState, optimizer_step

PAD, EOS, LETTERS = 0, 1, 8  # tokens 2 .. 9 are the letters
SHORTEST, LONGEST = 3, 5  # letters of a word
MAX_TOKENS = LONGEST + 1  # of a response: its letters and EOS
MODEL = ModelConfig(
  LETTERS + 2, layers=2, d_model=48, heads=4, kv_heads=4, head_dim=12, ff_dim=96
)  # 47 thousand parameters
BASE_STEPS = 500  # of supervised training: the base policy then solves about half
EVALUATION_WORDS = 256


# --- words and answers --------------------------------------------------------------------------


def draw_words(key: jax.Array, n: int) -> tuple[Int[Array, "B P"], Bool[Array, "B P"]]:
  """Draws n words, left-padded, and their mask. Lengths are equally likely, and so are letters."""
  for_length, for_letters = jax.random.split(key)
  length = jax.random.randint(for_length, (n, 1), SHORTEST, LONGEST + 1)
  letters = jax.random.randint(for_letters, (n, LONGEST), 2, 2 + LETTERS)
  mask = jnp.arange(LONGEST) >= LONGEST - length
  return jnp.where(mask, letters, PAD), mask


def right_answers(words: Int[Array, "B P"]) -> tuple[Int[Array, "B T"], Bool[Array, "B T"]]:
  """Returns each word backward, then EOS, right-padded: reversing moves the padding there."""
  backward = jnp.pad(words[:, ::-1], ((0, 0), (0, 1)), constant_values=PAD)
  length = (words != PAD).sum(axis=1, keepdims=True)
  t = jnp.arange(MAX_TOKENS)
  return jnp.where(t == length, EOS, backward), t <= length


def exact_reward(words: Int[Array, "B P"], responses: Int[Array, "B K T"]) -> Float[Array, "B K"]:
  """1 for the right letters and EOS after them, else 0."""
  return (responses == right_answers(words)[0][:, None]).all(axis=-1).astype(jnp.float32)


def graded_reward(words: Int[Array, "B P"], responses: Int[Array, "B K T"]) -> Float[Array, "B K"]:
  """The share of the answer's tokens, EOS included, that stand where they should: 0 to 1."""
  answers, mask = right_answers(words)
  right = (responses == answers[:, None]) & mask[:, None]
  return right.sum(axis=-1) / mask.sum(axis=-1)[:, None]


def groups_of(words, word_mask, responses, mask=None, rewards=None, old_logps=None) -> Groups:
  """Makes groups of responses [B, K, T] to words, rewarded exactly unless `rewards` is given."""
  rewards = exact_reward(words, responses) if rewards is None else rewards
  mask = responses != PAD if mask is None else mask
  return Groups(words, word_mask, responses, mask, rewards, old_logps)


def write(params: Params, key: jax.Array, prompts: int, group_size: int) -> Groups:
  """Writes groups on fresh words with the policy of these parameters, rewarded exactly."""
  for_words, for_letters = jax.random.split(key)
  words, word_mask = draw_words(for_words, prompts)
  sampler = Sampler(MAX_TOKENS, (EOS,), PAD, group_size)
  drawn = sample(MODEL, params, words, word_mask, for_letters, sampler)
  return groups_of(words, word_mask, drawn.responses, drawn.mask, old_logps=drawn.logps)


# --- the base policy ----------------------------------------------------------------------------


@cache
def base_policy(steps: int = BASE_STEPS) -> Params:
  """Returns the policy after so many steps of supervised training on right answers, 64 a step."""
  return jax.block_until_ready(_supervised(jax.random.key(0), steps))


@jax.jit
def _supervised(key: jax.Array, steps: Int[Array, ""]) -> Params:
  """Trains on right answers. `steps` is traced, so that all base policies share a compilation."""
  numbers = adam(1e-2) | {"warmup_steps": 20.0, "steps": steps}

  def step(i, state: TrainState) -> TrainState:
    words, word_mask = draw_words(jax.random.fold_in(key, i), 64)
    groups = groups_of(words, word_mask, right_answers(words)[0][:, None])

    def loss(params):
      return sft(token_log_probs(MODEL, params, groups)[0], groups.rewards, groups.mask)[0]

    gradient = {"params": jax.grad(loss)(state.params)}
    return optimizer_step(state, gradient, numbers, adamw, linear)[0]

  return jax.lax.fori_loop(0, steps, step, fresh_state(transformer.init(MODEL, key))).params


def fresh_state(params: Params, critic: Params | None = None) -> TrainState:
  """Returns the state at step 0 of Adam, with these parameters."""
  state = TrainState(params, None, jnp.zeros((), jnp.int32), critic)
  return dataclasses.replace(state, moments=adamw().init(state.trained))


def adam(learning_rate: Float[Array, ""] | float) -> dict[str, Any]:
  """Returns the project's optimizer settings: defaults, this rate and a short warm-up."""
  return {
    "learning_rate": learning_rate,
    "warmup_steps": 10.0,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "b1": 0.9,
    "b2": 0.95,
    "steps": 1.0,
  }


# --- evaluating a policy ------------------------------------------------------------------------


class Evaluation(NamedTuple):
  """A policy's scores on the evaluation words, its responses sampled at temperature 1."""

  solved: Float[Array, "*n"]  # expected exact reward: the probability of the right answer
  graded: Float[Array, "*n"]  # mean graded reward
  kl: Float[Array, "*n"]  # KL(policy || base policy), nats a response


@jax.jit
def evaluate(params: Params, base: Params) -> Evaluation:
  """Evaluates a policy. `solved` is exact, as a word has one right answer; the rest is sampled."""
  groups = write(params, jax.random.key(2**20), EVALUATION_WORDS, 1)
  reference = token_log_probs(MODEL, base, groups)[0]
  # At a token that the policy drew, k3 is an unbiased estimate of the KL there; the sum over tokens
  # is one of the response's KL.
  kl = sequence_sum(k3(groups.old_logps, reference), groups.mask).mean()
  solved = _solve_rates(params, groups.prompts, groups.prompt_mask).mean()
  return Evaluation(solved, graded_reward(groups.prompts, groups.responses).mean(), kl)


@jax.jit
def evaluate_all(snapshots: Params, base: Params) -> Evaluation:
  """Evaluates many policies, their parameters stacked along a first axis."""
  return jax.lax.map(partial(evaluate, base=base), snapshots)


@jax.jit
def solve_rates(snapshots: Params) -> Float[Array, "n B"]:
  """Returns the chance with which each of many policies solves each of the evaluation words."""
  for_words, _ = jax.random.split(jax.random.key(2**20))  # as `write` does in `evaluate`
  words, word_mask = draw_words(for_words, EVALUATION_WORDS)
  return jax.lax.map(lambda params: _solve_rates(params, words, word_mask), snapshots)


def _solve_rates(
  params: Params, words: Int[Array, "B P"], word_mask: Bool[Array, "B P"]
) -> Float[Array, "B"]:
  """Returns the probability of each word's right answer."""
  answers = groups_of(words, word_mask, right_answers(words)[0][:, None])
  right = sequence_sum(token_log_probs(MODEL, params, answers)[0], answers.mask)
  return jnp.exp(right)[:, 0]
