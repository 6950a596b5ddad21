"""How well a model ranks responses that have scores, to prompts that it never trained on."""

from collections.abc import Callable, Hashable, Sequence

import jax
import numpy as np
from jaxtyping import Float

from models import adapters
from models.groups import Groups
from models.partitioning import on_devices
from models.transformer import Params
from tasks.datasets.text_groups import TextGroups
from tasks.tokenizers.tokenizer import left_pad
from training import hosts
from training.compiled import compiled_log_probs, compiled_scores
from training.estimates import estimate
from training.evaluation import PolicyEvaluation, draw_held_out
from training.layouts import placed
from training.parts import Parts
from training.sources.order import key_for

Compute = Callable[[Groups], jax.Array | np.ndarray]  # [b, K] of the groups of a batch


class ImpliedRewardEvaluation:
  """The choices of a policy among held-out responses, beside the metrics of its own samples.

  A policy's implied reward is beta times its log-ratio to the reference, log pi(y) - log pi_ref(y)
  (Rafailov et al., 2023, eq. 5). Of every two responses to a prompt that have unequal scores:

  eval/implied_accuracy       share of which the better has the higher implied reward, beta > 0
                              aside; a tie counts half, so the base policy itself has 0.5
  eval/implied_accuracy_ci95  half the width of its 95 % interval: t, over prompts
  eval/implied_margin         mean log-ratio of the better less that of the worse, in nats
  eval/logp_accuracy          share of which the policy finds the better likelier; this the base
                              policy has too. Longer responses are less likely, better or not

  Each is a mean over prompts of a mean over a prompt's pairs.
  """

  def __init__(
    self, parts: Parts, held_out: TextGroups, base: Params, of_samples: PolicyEvaluation
  ):
    self._parts, self._held_out, self._of_samples = parts, held_out, of_samples
    self._ref_logps = self._logps(on_devices(adapters.reference_of(base, base)))

  def __call__(self, params: Params, step: int) -> tuple[dict[str, float], list[dict], dict]:
    metrics, completions, by_prompt = self._of_samples(params, step)
    logps = self._logps(params)
    log_ratios = logps - self._ref_logps
    accuracy = estimate(self._by_prompt(log_ratios, right))
    if accuracy is None:
      return metrics, completions, by_prompt  # no two scores differ
    margins = self._by_prompt(log_ratios, lambda gaps: gaps)
    metrics |= {
      "eval/implied_accuracy": accuracy.mean,
      "eval/implied_margin": float(np.mean(margins)),
      "eval/logp_accuracy": float(np.mean(self._by_prompt(logps, right))),
    }
    if accuracy.half_width is not None:
      metrics["eval/implied_accuracy_ci95"] = accuracy.half_width
    return metrics, completions, by_prompt

  def _by_prompt(self, values: np.ndarray, of_gaps: Callable) -> list[float]:
    prompts = [row.prompt for row in self._held_out.rows]
    return by_prompt(prompts, self._held_out.rewards, values, of_gaps)

  def _logps(self, params: Params | None) -> Float[np.ndarray, "N K"]:
    """Log-probs of whole responses, at temperature 1."""
    compute = compiled_log_probs(self._parts.model, self._parts.mesh)

    def logps(groups: Groups) -> np.ndarray:
      of_tokens = hosts.to_local(compute(params, placed(self._parts, groups), 1.0)[0])
      return np.where(groups.mask, of_tokens, 0.0).sum(axis=-1)

    return in_batches(self._parts, self._held_out, logps)


class RewardModelEvaluation:
  """How well a reward model ranks held-out responses.

  eval/accuracy       share of the pairs of a prompt, of unequal score, that it ranks right; a tie
                      counts half
  eval/accuracy_ci95  half the width of its 95 % interval: t, over prompts
  eval/gap            mean score that it gives the better of a pair, less that of the worse

  Each is a mean over prompts of a mean over a prompt's pairs. The responses are those of a data set
  (`of_texts`), or what the base policy writes to the task's held-out prompts (`of_policy`).
  """

  def __init__(
    self,
    prompts: Sequence[Hashable],
    rewards: Float[np.ndarray, "N K"],
    scores: Callable[[Params], Float[np.ndarray, "N K"]],
  ):
    self._prompts, self._rewards, self._scores = prompts, rewards, scores

  @classmethod
  def of_texts(cls, parts: Parts, held_out: TextGroups) -> "RewardModelEvaluation":
    """On the held-out groups of a data set."""
    compute = compiled_scores(parts.model, parts.mesh)

    def scores(params: Params) -> np.ndarray:
      def of_batch(groups: Groups) -> np.ndarray:
        return hosts.to_local(compute(params, placed(parts, groups)))

      return in_batches(parts, held_out, of_batch)

    return cls([row.prompt for row in held_out.rows], held_out.rewards, scores)

  @classmethod
  def of_policy(cls, parts: Parts, base: Params) -> "RewardModelEvaluation":
    """On `eval.samples` responses that the base policy writes to each held-out prompt."""
    mesh, compute = parts.mesh, compiled_scores(parts.model, parts.mesh)
    key = key_for("evaluation", parts.config.seed, 0)
    local, _ = draw_held_out(parts, base, key, parts.config.eval.samples)
    groups = placed(parts, local)

    def scores(params: Params) -> np.ndarray:
      return hosts.gather(mesh, hosts.to_local(compute(params, groups)))

    prompts = [item.prompt for item in parts.task.evaluation]
    return cls(prompts, hosts.gather(mesh, local.rewards), scores)

  def __call__(self, params: Params, step: int) -> tuple[dict[str, float], list[dict], dict]:
    del step
    scores = self._scores(params)
    accuracy = estimate(by_prompt(self._prompts, self._rewards, scores, right))
    if accuracy is None:
      return {}, [], {}  # no two rewards differ: nothing to tell apart
    gaps = by_prompt(self._prompts, self._rewards, scores, lambda gaps: gaps)
    metrics = {"eval/accuracy": accuracy.mean, "eval/gap": float(np.mean(gaps))}
    if accuracy.half_width is not None:
      metrics["eval/accuracy_ci95"] = accuracy.half_width
    return metrics, [], {}


def by_prompt(
  prompts: Sequence[Hashable],
  rewards: Float[np.ndarray, "N K"],
  values: Float[np.ndarray, "N K"],
  of_gaps: Callable[[np.ndarray], np.ndarray],
) -> list[float]:
  """A mean a prompt, over its pairs of unequal reward; prompts without any are left out.

  `of_gaps` gets the value of the better response of each pair less that of the worse.
  """
  found: dict = {}
  for prompt, of_prompt, value in zip(prompts, rewards, values, strict=True):
    better = of_prompt[:, None] > of_prompt[None, :]  # not so for NaN
    gaps = (value[:, None] - value[None, :])[better]
    found.setdefault(prompt, []).extend(of_gaps(gaps).tolist())
  return [float(np.mean(of_pairs)) for of_pairs in found.values() if of_pairs]


def right(gaps: np.ndarray) -> np.ndarray:
  """1 for a pair that is ranked right, 0.5 for a tie."""
  return np.where(gaps == 0, 0.5, gaps > 0)


def in_batches(parts: Parts, held_out: TextGroups, compute: Compute) -> Float[np.ndarray, "N K"]:
  """The values that `compute` gives for all groups, as many at once as the run trains on."""
  size, n = parts.config.batch_prompts, len(held_out)
  tokens = held_out.prompts
  longest = max(parts.task.max_prompt_tokens, *map(len, tokens))
  prompts, prompt_mask = left_pad(tokens, longest, parts.task.tokenizer.pad_id)
  pieces = []
  for start in range(0, n, size):
    rows = hosts.mine(parts.mesh, np.arange(start, start + size) % n)  # the last batch wraps around
    of_rows = (prompts, prompt_mask, held_out.responses, held_out.mask, held_out.rewards)
    groups = Groups(*(array[rows] for array in of_rows))
    pieces.append(hosts.gather(parts.mesh, np.asarray(compute(groups))))
  return np.concatenate(pieces)[:n]
