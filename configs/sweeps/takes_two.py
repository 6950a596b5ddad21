"""Does GRPO need large groups? 2, 4, 8 and 16 responses a prompt, at two kinds of equal budget.

"It takes two" (2025) says that 2-GRPO keeps 97.6 % of 16-GRPO's score on an eighth of the rollouts.
Two budgets ask two questions, 5 seeds each:

  equal rollouts   256 responses a step: 2-GRPO sees 128 prompts, 16-GRPO the same number of
                   responses on 16. Is a response better spent on another prompt?
  equal prompts    16 prompts a step: 2-GRPO draws 32 responses, an eighth of 16-GRPO's 256. How
                   much do more responses to a prompt buy?

grpo-k16 is in both. All make 60 updates from the same base policy; 35 runs, of 1,920 to 15,360
rollouts; 26 minutes on 2 CPU cores that had other work. Expect no difference at equal rollouts: a
group of two has a noisier baseline, but there are eight times as many groups. At equal prompts
expect the reward to fall with K: on an eighth of the rollouts, at the same learning rate, 2-GRPO
ends below the policy that it began from.
"""

from typing import Any

from configs.hyper import Item, chain, product, sweep

RESPONSES, PROMPTS = 256, 16  # a step


def get_sweep() -> list[Item]:
  variants = [[_grpo(16, "")]]
  for k in (8, 4, 2):
    more_prompts = _grpo(k, "-equal-rollouts") | {"batch_prompts": RESPONSES // k}
    variants.append([more_prompts, _grpo(k, "-equal-prompts") | {"batch_prompts": PROMPTS}])
  return product([sweep("seed", range(5)), chain(variants)])


def _grpo(k: int, budget: str) -> dict[str, Any]:
  return {"name": f"grpo-k{k}{budget}", "config": f"configs/grpo.py:k={k}"}
