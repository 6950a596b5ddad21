"""From offline to online: DPO and GRPO on responses that are 32, 16, 4 or no updates old.

Every run trains on 8,192 responses in 32 updates of 256, each response once. What varies is when
the policy writes them:

  offline      all before the first update, by the base policy (configs/dpo.py's source)
  16-updates   two rounds: 4,096 responses, then 16 updates on them
  4-updates    eight rounds
  online       256 responses for every update

The miniature of "Bridging offline and online RL for LLMs" (arXiv 2506.21495), where semi-online DPO
is as good as online, and offline falls behind.

Rounds here keep the reference and Adam's state; experiments.rounds, which is for a policy in
service, moves the reference on and tests each round before it deploys it. One learning rate for
all, between the two that the configs use offline and online; 5 seeds of 8 variants.

Came out at commit 7c79a08, sampled reward, mean of 5 seeds: grpo-k8-online 0.501, grpo-k8-4-updates
0.500, dpo-online 0.473, dpo-4-updates 0.445, grpo-k8-16-updates 0.421, dpo-offline 0.406,
dpo-16-updates 0.396, grpo-k8-offline 0.393; base policy 0.256.
"""

from typing import Any

from configs.hyper import Item, product, sweep

UPDATES, RESPONSES = 32, 256
ALGORITHMS = {"dpo": ("configs/dpo.py", 2), "grpo-k8": ("configs/grpo.py:k=8", 8)}
AGES = {"16-updates": 16, "4-updates": 4, "online": 1}  # updates a round


def get_sweep() -> list[Item]:
  variants = []
  for algorithm, (config, k) in ALGORITHMS.items():
    shared = {"config": config, "optimizer.learning_rate": 3e-4}
    shared |= {"steps": UPDATES, "eval.every": 8}
    variants.append(shared | {"name": f"{algorithm}-offline", "source": "offline"})
    variants += [
      shared | {"name": f"{algorithm}-{name}", "source": "online"} | _rounds_of(updates, k)
      for name, updates in AGES.items()
    ]
  return product([sweep("seed", range(5)), variants])


def _rounds_of(updates: int, k: int) -> dict[str, Any]:
  """Returns the fields for rounds of so many updates, evaluated every 8 updates or every round."""
  steps = UPDATES // updates
  groups = RESPONSES // k * updates
  return {
    "steps": steps,
    "batch_prompts": groups,
    "minibatches": updates,
    "eval.every": max(8 // updates, 1),
    "checkpoint.every": steps // 2,
  }
