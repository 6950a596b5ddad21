"""How good a policy is on prompts it never trained on, and how far it went from the reference.

Measured the same way for every algorithm: the policy's own samples at temperature 1 on the held-out
prompts, whatever the algorithm trained on.
"""

import dataclasses
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from models import adapters
from models.groups import Groups
from models.partitioning import on_devices
from models.transformer import Params
from tasks.rows.row import text_of
from training import hosts, votes
from training.compiled import compiled_log_probs, compiled_scores
from training.drawing import draw
from training.layouts import placed
from training.parts import Parts
from training.sources.order import key_for

COMPLETIONS_KEPT = 16
SAMPLES_KEPT = 2  # of each, beside the greedy one


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Measured:
  """A policy's responses to N held-out prompts: a greedy one, and n samples, to each."""

  greedy: Int[np.ndarray, "N T"]
  greedy_lengths: Int[np.ndarray, " N"]  # tokens, EOS included
  greedy_finished: Bool[np.ndarray, " N"]  # ended by itself
  greedy_rewards: Float[np.ndarray, " N"]
  sampled: Int[np.ndarray, "N s T"]  # the first samples, to read
  sampled_finished: Bool[np.ndarray, "N s"]
  rewards: Float[np.ndarray, "N n"]  # of the samples
  entropy: Float[np.ndarray, " N"]  # of the policy at a sampled token, mean over tokens, in nats
  right: Bool[np.ndarray, "N n"] | None  # the samples, by one reward of the sum (`right_by`)
  answers: Int[np.ndarray, "N n"] | None  # their numbers in `votes`, if they can be compared
  log_ratios: Float[np.ndarray, "N n"] | None  # log pi(y) - log pi_ref(y), in nats a sequence
  scores: Float[np.ndarray, "N n"] | None  # of the reward model that the policy is trained on


def measure(
  parts: Parts,
  params: Params,
  reference: Params | None,
  step: int,
  samples: int,
  reward_model: Params | None = None,
) -> Measured:
  """Greedy and sampled responses to the held-out prompts, scored by the task and the reference."""
  key = key_for("evaluation", parts.config.seed, step)
  best, best_finished = draw_held_out(parts, params, key, 1, greedy=True)
  drawn, finished = draw_held_out(parts, params, key, samples)
  log_probs = compiled_log_probs(parts.model, parts.mesh)
  read = placed(parts, drawn)
  logps, entropy = hosts.to_local(log_probs(params, read, 1.0))
  log_ratios, reference = None, adapters.reference_of(params, reference)
  if reference is not None:
    ref_logps = hosts.to_local(log_probs(on_devices(reference), read, 1.0)[0])
    log_ratios = np.where(drawn.mask, logps - ref_logps, 0.0).sum(axis=-1)
  scores = None
  if reward_model is not None:
    scores = hosts.to_local(compiled_scores(parts.model, parts.mesh)(reward_model, read))
  tokens = drawn.mask.sum(axis=(1, 2))
  measured = Measured(
    greedy=best.responses[:, 0],
    greedy_lengths=best.mask[:, 0].sum(axis=-1),
    greedy_finished=best_finished[:, 0],
    greedy_rewards=best.rewards[:, 0],
    sampled=drawn.responses[:, :SAMPLES_KEPT],
    sampled_finished=finished[:, :SAMPLES_KEPT],
    rewards=drawn.rewards,
    right=is_right(parts, drawn),
    answers=answers_given(parts, drawn, finished),
    entropy=np.where(drawn.mask, entropy, 0.0).sum(axis=(1, 2)) / tokens,
    log_ratios=log_ratios,
    scores=scores,
  )
  return hosts.gather(parts.mesh, measured)


def draw_held_out(
  parts: Parts, params: Params, key: jax.Array, group_size: int, *, greedy: bool = False
) -> tuple[Groups, Bool[np.ndarray, "N K"]]:
  """Responses to the held-out prompts at temperature 1, scored by the task; and which ended.

  Of several processes each has its own prompts' (`hosts.mine`).
  """
  task, rows = parts.task, hosts.mine(parts.mesh, np.arange(len(parts.task.evaluation)))
  prompts, prompt_mask = (array[rows] for array in task.evaluation_prompts)
  sampler = parts.sampler(group_size, greedy=greedy)
  drawn = draw(parts, sampler, params, prompts, prompt_mask, key, 1.0)
  items = [task.evaluation[row] for row in rows]
  each = task.reward_parts(items, drawn.responses, drawn.finished)
  drawn_groups = Groups(
    prompts,
    prompt_mask,
    drawn.responses,
    drawn.mask,
    task.reward.total(each),
    reward_parts=each,
  )
  return drawn_groups, drawn.finished


def right_by(parts: Parts) -> str:
  """The reward that is 1, or more, for a right response: config.eval.right, or else the first exact
  one of the sum. "" for a sum without such a one: of a sum, or of partial credit, no value is
  "right"."""
  reward, wanted = parts.task.reward, parts.config.eval.get("right", "")
  return wanted if wanted in reward.names else reward.exact


def is_right(parts: Parts, groups: Groups) -> Bool[np.ndarray, "N K"] | None:
  """Whether each response is; None where no reward says so."""
  name = right_by(parts)
  return groups.reward_parts[..., parts.task.reward.names.index(name)] >= 1 if name else None


def answers_given(
  parts: Parts, groups: Groups, finished: Bool[np.ndarray, "N K"]
) -> Int[np.ndarray, "N K"] | None:
  """The different answers of each prompt's responses, numbered (`votes.answer_numbers`).

  Answers are stripped texts (`exact`) or the numbers in them (`numeric`). None for other rewards,
  and for fewer responses than can vote.
  """
  answer_of = parts.task.reward.answer_of(right_by(parts))
  if answer_of is None or groups.responses.shape[1] < votes.FEWEST:
    return None
  texts = [[parts.task.tokenizer.decode(tokens) for tokens in row] for row in groups.responses]
  return votes.answer_numbers(texts, finished | parts.task.scores_unfinished, answer_of)


class PolicyEvaluation:
  """An evaluation of the policy: its metrics, completions to read, and its rewards by prompt."""

  def __init__(self, parts: Parts, reference: Params | None, reward_model: Params | None = None):
    self._parts, self._reference, self._reward_model = parts, reference, reward_model

  def __call__(self, params: Params, step: int) -> tuple[dict[str, float], list[dict], dict]:
    samples = self._parts.config.eval.samples
    measured = measure(self._parts, params, self._reference, step, samples, self._reward_model)
    texts = completions(self._parts, measured, step, COMPLETIONS_KEPT)
    return summary(measured), texts, rewards_by_prompt(measured, step)


def summary(measured: Measured) -> dict[str, float]:
  """The metrics of an evaluation row: means over the prompts.

  eval/reward          of the greedy response, by the task (as all rewards here); a response that
                       could not be scored is left out; so are these three if none could
  eval/reward_sampled  of the samples
  eval/pass@k          k = 1, 2, 4, ... n: the chance that one of k samples is right (`is_right`),
                       without bias; left out where no reward says what is right
  eval/maj@n           share of prompts whose most frequent answer among the n samples is right;
                       left out where answers cannot be compared (`answers_given`)
  eval/kl              log pi(y) - log pi_0(y) over the samples, in nats a sequence: the unbiased
                       estimate of KL(pi || pi_0), pi_0 the base policy, whatever the loss's
                       reference; left out in the SFT that makes it
  eval/entropy         nats a token
  eval/length          tokens of a greedy response
  eval/finished        share of greedy responses that ended by themselves
  eval/reward_model    mean score of the samples by the reward model that is trained on; when it
                       goes on rising while eval/reward_sampled does not, it is over-optimised
  eval/unscored        share of the samples without a reward, when there are any
  """
  m = measured
  metrics = {
    "eval/entropy": m.entropy.mean(),
    "eval/length": m.greedy_lengths.mean(),
    "eval/finished": m.greedy_finished.mean(),
  }
  if np.isfinite(m.greedy_rewards).any() and np.isfinite(m.rewards).any():
    metrics |= {
      "eval/reward": np.nanmean(m.greedy_rewards),
      "eval/reward_sampled": np.nanmean(m.rewards),
    }
    metrics |= {name: x.mean() for name, x in _of_several(m).items()}
  if m.log_ratios is not None:
    metrics["eval/kl"] = m.log_ratios.mean()
  if m.scores is not None:
    metrics["eval/reward_model"] = m.scores.mean()
  if np.isnan(m.rewards).any() and "eval/reward" in metrics:
    metrics["eval/unscored"] = np.isnan(m.rewards).mean()
  return {name: float(value) for name, value in metrics.items()}


def _of_several(m: Measured) -> dict[str, Float[np.ndarray, " N"]]:
  """eval/pass@k and eval/maj@n of each prompt, where they can be told."""
  if m.right is None:
    return {}
  n = m.right.shape[1]
  found = {f"eval/pass@{k}": votes.pass_at_k(m.right, k) for k in votes.tries(n)}
  if m.answers is not None:
    found[f"eval/maj@{n}"] = votes.majority(m.answers, m.right)
  return found


def rewards_by_prompt(measured: Measured, step: int) -> dict:
  """The rewards of each held-out prompt, as a row of prompts.jsonl; {} if none could be scored.

  "greedy" has that of the greedy response, "sampled" the mean of the samples; NaN for a prompt
  without a scored one.
  """
  m = measured
  if not (np.isfinite(m.greedy_rewards).any() and np.isfinite(m.rewards).any()):
    return {}
  scored = np.isfinite(m.rewards)
  counts = scored.sum(axis=1)
  sampled = np.where(scored, m.rewards, 0.0).sum(axis=1) / np.where(counts, counts, np.nan)
  by_prompt = {"greedy": m.greedy_rewards.astype(float), "sampled": sampled}
  return {"step": step} | {name: values.round(4).tolist() for name, values in by_prompt.items()}


def completions(parts: Parts, measured: Measured, step: int, count: int) -> list[dict]:
  """Completions of the first `count` held-out prompts, to read: greedy, and some samples."""
  m = measured

  def read(tokens, reward, finished) -> dict:
    text = parts.task.tokenizer.decode(tokens)
    return {"completion": text, "reward": float(reward), "finished": bool(finished)}

  rows = []
  for i, item in enumerate(parts.task.evaluation[:count]):
    row = {"step": step, "prompt": text_of(item.prompt), "answer": item.answer}
    row |= read(m.greedy[i], m.greedy_rewards[i], m.greedy_finished[i])
    drawn = zip(m.sampled[i], m.rewards[i], m.sampled_finished[i], strict=False)
    rows.append(row | {"samples": [read(*one) for one in drawn]})
  return rows


class Mean(NamedTuple):
  """A mean over prompts and its standard error."""

  value: float
  standard_error: float

  def __str__(self) -> str:
    return f"{self.value:.4f} ± {self.standard_error:.4f}"


@dataclasses.dataclass(frozen=True)
class Evaluated:
  """An evaluation with its uncertainty, and greedy completions to read."""

  metrics: dict[str, Mean]
  completions: list[dict]
  per_prompt: dict[str, Float[np.ndarray, " N"]]  # of which the metrics are the means

  def minus(self, other: "Evaluated") -> dict[str, Mean]:
    """Differences of the metrics that both have, paired over the prompts: they must be the same."""
    both = [name for name in self.per_prompt if name in other.per_prompt]
    return {name: _mean(self.per_prompt[name] - other.per_prompt[name]) for name in both}

  def __str__(self) -> str:
    return "\n".join(f"{name}: {mean}" for name, mean in self.metrics.items())


def evaluated(parts: Parts, measured: Measured, step: int) -> Evaluated:
  """Means over prompts; a prompt without a scored response is left out of the rewards'."""
  is_scored = bool(np.isfinite(measured.rewards).any())  # not where others scored the responses
  per_prompt = {}
  if is_scored:
    per_prompt["reward, greedy"] = measured.greedy_rewards
    per_prompt["reward, sampled"] = np.nanmean(measured.rewards, axis=1)
  if measured.log_ratios is not None:
    per_prompt["KL to the base policy (nats a sequence)"] = measured.log_ratios.mean(axis=1)
  per_prompt |= {
    "entropy (nats a token)": measured.entropy,
    "length (tokens)": measured.greedy_lengths,
    "finished": measured.greedy_finished,
  }
  if is_scored:
    per_prompt |= {k.removeprefix("eval/"): x for k, x in _of_several(measured).items()}
  per_prompt = {name: np.asarray(x, float) for name, x in per_prompt.items()}
  metrics = {name: _mean(x) for name, x in per_prompt.items()}
  return Evaluated(metrics, completions(parts, measured, step, COMPLETIONS_KEPT), per_prompt)


def _mean(x: Float[np.ndarray, " N"]) -> Mean:
  """Of the prompts that have a value."""
  return Mean(float(np.nanmean(x)), float(np.nanstd(x) / np.sqrt(np.isfinite(x).sum())))
