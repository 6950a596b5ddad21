"""Does GRPO need large groups? 2, 4, 8 and 16 responses a prompt, at three kinds of equal budget.

"It takes two" (arXiv 2510.00977) says that 2-GRPO keeps 97.6 % of 16-GRPO's score on an eighth of
the rollouts. Three budgets ask three questions, 5 seeds each:

  equal rollouts   256 responses a step: 2-GRPO sees 128 prompts, 16-GRPO the same number of
                   responses on 16. Is a response better spent on another prompt?
  equal prompts    16 prompts a step: 2-GRPO draws 32 responses, an eighth of 16-GRPO's 256. How
                   much do more responses to a prompt buy? In grpo-k2-resampled groups of equal
                   rewards, most of those of two, are drawn anew, three times at most.
  the paper's      (appendix D) 2-GRPO has the same prompts, 128 of them an update, so that updates
                   are as large as 16-GRPO's: an eighth of the updates, at 8 times the rate. (Its
                   rate is 1e-6, far below what breaks a policy; ours is not, so -same-rate, too.)

grpo-k16 is in all three. All but the paper's make 32 updates from the same base policy.

Came out at commit 8d5c69c, sampled reward, mean of 5 seeds: grpo-k4-equal-rollouts 0.533,
grpo-k8-equal-rollouts 0.525, grpo-k2-equal-rollouts 0.504, grpo-k16 0.499, grpo-k8-equal-prompts
0.429, grpo-k2-resampled 0.379, grpo-k4-equal-prompts 0.344, grpo-k2-paper-same-rate 0.286,
grpo-k2-equal-prompts 0.131, grpo-k2-paper 0.000; base policy 0.256.
"""

from typing import Any

from configs import grpo
from configs.hyper import Item, chain, product, sweep

STEPS, RESPONSES, PROMPTS = 32, 256, 16  # responses and prompts a step
FEWER = 8  # 16-GRPO's rollouts over 2-GRPO's, at equal prompts


def get_sweep() -> list[Item]:
  variants = [[_grpo(16, "")]]
  for k in (8, 4, 2):
    more_prompts = _grpo(k, "-equal-rollouts") | {"batch_prompts": RESPONSES // k}
    variants.append([more_prompts, _grpo(k, "-equal-prompts") | {"batch_prompts": PROMPTS}])
  variants.append([_grpo(2, "-resampled") | {"batch_prompts": PROMPTS, "sampling.refills": 3}])
  variants.append([_papers("", FEWER), _papers("-same-rate", 1)])
  return product([sweep("seed", range(5)), chain(variants)])


def _grpo(k: int, budget: str) -> dict[str, Any]:
  return {
    "name": f"grpo-k{k}{budget}",
    "config": f"configs/grpo.py:k={k}",
    "steps": STEPS,
    "eval.every": 8,
  }


def _papers(name: str, times_the_rate: int) -> dict[str, Any]:
  return _grpo(2, f"-paper{name}") | {
    "batch_prompts": FEWER * PROMPTS,
    "steps": STEPS // FEWER,
    "optimizer.learning_rate": times_the_rate * grpo.get_config("k=2").optimizer.learning_rate,
    "eval.every": 1,
  }
