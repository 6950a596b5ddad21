"""How good a policy is on prompts it never trained on, and how far it went from the reference.

Measured the same way for every algorithm: the policy's own samples at temperature 1 on the held-out
prompts, whatever the algorithm trained on.
"""

import numpy as np

from experiments.collect import compiled_sampler, key_for
from experiments.reference import compiled_log_probs
from experiments.setup import Parts
from models.groups import Groups
from models.transformer import Params

COMPLETIONS_KEPT = 16


def evaluate(
  parts: Parts, params: Params, reference: Params | None, step: int, samples: int
) -> tuple[dict[str, float], list[dict]]:
  """Metrics, and the greedy completions of the first held-out prompts to read.

  eval/reward          mean reward of the greedy response
  eval/reward_sampled  mean reward of `samples` responses drawn at temperature 1
  eval/pass@n          share of prompts of whose n = `samples` responses one has reward > 0.5
  eval/kl              mean of log pi(y) - log pi_ref(y) over the samples y, in nats a sequence: the
                       unbiased estimate of KL(pi || pi_ref); left out without a reference
  eval/entropy         of the policy at a sampled token, in nats
  eval/length          tokens of a greedy response
  eval/finished        share of greedy responses that ended by themselves
  """
  task = parts.task
  prompts, prompt_mask = task.evaluation_prompts
  key = key_for("evaluation", parts.config.seed, step)

  def draw(group_size: int, *, greedy: bool):
    draw_samples = compiled_sampler(
      parts.model, parts.sampler(group_size, greedy=greedy), parts.mesh
    )
    return draw_samples(params, prompts, prompt_mask, key, 1.0)

  greedy, sampled = draw(1, greedy=True), draw(samples, greedy=False)
  greedy_responses, greedy_finished = (
    np.asarray(greedy.responses),
    np.asarray(greedy.finished),
  )
  greedy_rewards = task.rewards(task.evaluation, greedy_responses, greedy_finished)
  rewards = task.rewards(
    task.evaluation, np.asarray(sampled.responses), np.asarray(sampled.finished)
  )

  groups = Groups(prompts, prompt_mask, sampled.responses, sampled.mask, rewards)
  log_probs = compiled_log_probs(parts.model, parts.mesh)
  logps, entropy = (np.asarray(x) for x in log_probs(params, groups, 1.0))
  mask = np.asarray(sampled.mask)
  metrics = {
    "eval/reward": greedy_rewards.mean(),
    "eval/reward_sampled": rewards.mean(),
    f"eval/pass@{samples}": (rewards > 0.5).any(axis=1).mean(),
    "eval/entropy": entropy[mask].mean(),
    "eval/length": np.asarray(greedy.mask).sum(axis=-1).mean(),
    "eval/finished": greedy_finished.mean(),
  }
  if reference is not None:
    ref_logps = np.asarray(log_probs(reference, groups, 1.0)[0])
    metrics["eval/kl"] = ((logps - ref_logps) * mask).sum(axis=-1).mean()
  completions = [
    {
      "step": step,
      "prompt": item.prompt,
      "answer": item.answer,
      "completion": task.tokenizer.decode(response),
      "reward": float(reward),
      "finished": bool(finished),
    }
    for item, response, reward, finished in zip(
      task.evaluation[:COMPLETIONS_KEPT],
      greedy_responses[:, 0],
      greedy_rewards[:, 0],
      greedy_finished[:, 0],
      strict=False,
    )
  ]
  return {name: float(value) for name, value in metrics.items()}, completions
