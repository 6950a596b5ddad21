"""Which losses survive old responses: twelve of them on responses 0 to 128 updates old.

Every run trains on 8,192 responses in 128 updates of 64, each response once. What varies is the
loss, and how many updates the policy that wrote a batch lags behind the one that is trained
(config.sampling.lag): 0, 1, 4, 16, 64, or all of them, so that the base policy wrote everything.

  dpo                              pairs, held by the reference
  grpo, dr-grpo, gspo, cispo       ratios to the policy that wrote, clipped
  off-policy-grpo                  the same ratios, of the whole response
  dppo, m2po                       masks instead of clips
  topr, asymre, reinforce          no ratio to clip: a weight on bad responses, a baseline, nothing
  reinforce-truncated              each token weighed by its ratio, up to 2 (config.correction)

The learning rate of each loss is the best of 4 trials at a lag of 4, on seeds 1000 and 1001
(get_tuning, --only=lag-4), so what is compared is a loss at one rate over all lags; dpo-slow is
DPO at a third of that, as DPO was seen to run away from old pairs, and the truncated REINFORCE has
the rate of the plain one. 3 seeds of 78 variants.

Came out at commit f6766ba, sampled reward, mean of 3 seeds: topr-lag-all 0.615, topr-lag-64 0.614,
asymre-lag-0 0.603, asymre-lag-1 0.597, gspo-lag-0 0.596, dppo-lag-0 0.588, topr-lag-0 0.587,
m2po-lag-0 0.586, topr-lag-1 0.584, dr-grpo-lag-1 0.582, off-policy-grpo-lag-1 0.582, dr-grpo-lag-0
0.581, topr-lag-4 0.581, grpo-lag-0 0.580, grpo-lag-1 0.580, topr-lag-16 0.579, dppo-lag-1 0.578,
m2po-lag-1 0.577, cispo-lag-0 0.573, cispo-lag-4 0.573, reinforce-lag-64 0.049 (the last of 78);
base policy 0.256.
"""

from typing import Any

from configs.hyper import Item, log_uniform, product, sweep

RESPONSES, UPDATES = 64, 128
LAGS = {"0": 0, "1": 1, "4": 4, "16": 16, "64": 64, "all": UPDATES}
RATE = "optimizer.learning_rate"
LOSSES: dict[str, dict[str, Any]] = {
  "dpo": {"config": "configs/dpo.py", "group_size": 2, RATE: 3e-4},
  "dpo-slow": {"config": "configs/dpo.py", "group_size": 2, RATE: 1e-4},
  "grpo": {"config": "configs/grpo.py", RATE: 3e-4},
  "dr-grpo": {"config": "configs/dr_grpo.py", RATE: 3e-4},
  "gspo": {"config": "configs/gspo.py", RATE: 3e-4},
  "cispo": {"config": "configs/cispo.py", RATE: 1.077e-4},
  "off-policy-grpo": {"config": "configs/off_policy_grpo.py", RATE: 3e-4},
  "dppo": {"config": "configs/grpo.py", "algorithm.loss": "dppo_tv", RATE: 3e-4},
  "m2po": {"config": "configs/grpo.py", "algorithm.loss": "m2po", RATE: 3e-4},
  "topr": {"config": "configs/grpo.py", "algorithm.loss": "topr", RATE: 3e-4},
  "asymre": {"config": "configs/grpo.py", "algorithm.loss": "asymre", RATE: 3e-4},
  "reinforce": {"config": "configs/reinforce.py", "group_size": 1, RATE: 1.077e-4},
  "reinforce-truncated": {
    "config": "configs/reinforce.py",
    "group_size": 1,
    RATE: 1.077e-4,
    "correction.weight": "truncate(token, 2)",
    "correction.anchor": "sampler",
  },
}


def get_sweep() -> list[Item]:
  variants = [
    _with_groups(fields) | {"name": f"{loss}-lag-{name}", "sampling.lag": lag}
    for loss, fields in LOSSES.items()
    for name, lag in LAGS.items()
  ]
  return product([sweep("seed", range(3)), variants])


def get_tuning() -> dict[str, Any]:
  """Where `experiments.tune --only=lag-4 --trials=4` looks."""
  return {RATE: log_uniform(5e-5, 1.5e-3)}


def _with_groups(fields: dict[str, Any]) -> dict[str, Any]:
  groups = RESPONSES // fields.get("group_size", 8)
  shared = {"source": "online", "steps": UPDATES, "batch_prompts": groups}
  return fields | shared | {"eval.every": UPDATES // 2, "checkpoint.every": UPDATES}
