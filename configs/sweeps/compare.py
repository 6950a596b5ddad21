"""The main algorithms on one budget: what they learn from the same number of responses and updates.

Each run trains on 8,192 responses in 32 updates of 256, two updates a collection, so that ratios
and clips have something to do; 5 seeds of 16 algorithms. SFT alone uses demonstrations instead.

  sft, best-of-8                        no negative examples: the yardsticks
  dpo-offline, dpo-online               pairs of the base policy's responses, and of its own
  ipo-, kto-, orpo-, simpo-offline      a square; no pairs; no reference
  off-policy-grpo-k8                    GRPO on the base policy's responses
  grpo-k2, grpo-k8, dr-grpo-k8,         groups; with and without the division by spread and length,
  gspo-k8, rloo-k8                      a ratio a response, the mean of the others as the baseline
  reinforce, ppo                        no groups: the batch's mean, or a critic, as the baseline

Left out: DAPO, because dynamic sampling draws more responses than the others, and without it DAPO
is GRPO with another mean; CISPO, which differs from GRPO in clipped tokens only; offline GRPO,
whose gradient can be DPO's.

Came out at commit b0452a1, sampled reward, mean of 5 seeds: sft 0.765, ppo 0.593, orpo-offline
0.586, reinforce 0.551, grpo-k8 0.531, dr-grpo-k8 0.531, rloo-k8 0.520, grpo-k2 0.519, kto-offline
0.518, gspo-k8 0.507, dpo-online 0.477, dpo-offline 0.412, simpo-offline 0.389, best-of-8 0.374,
ipo-offline 0.367, off-policy-grpo-k8 0.366; base policy 0.256.
"""

from typing import Any

from configs.hyper import Item, log_uniform, product, sweep

RESPONSES, UPDATES = 512, 2  # a collection
BUDGET = {"steps": 16, "minibatches": UPDATES, "inner_epochs": 1, "eval.every": 4}


# The learning rate and beta are the best of 8 trials each, on seeds 1000 and 1001 (get_tuning).
RATE, BETA = "optimizer.learning_rate", "algorithm.beta"


def get_sweep() -> list[Item]:
  variants = [
    _variant("sft", "sft.py", 1) | {RATE: 1.027e-3},
    _variant("best-of-8", "best_of_k.py", 8) | {RATE: 5e-4},
    _variant("dpo-offline", "dpo.py", 2) | {RATE: 3e-4, BETA: 0.8},
    _variant("dpo-online", "dpo.py", 2) | {RATE: 3.89e-4, BETA: 0.7802, "source": "online"},
    _variant("ipo-offline", "ipo.py", 2) | {RATE: 1.102e-4, BETA: 0.7802},
    _variant("kto-offline", "kto.py", 2) | {RATE: 3.57e-4, BETA: 7.76},
    _variant("orpo-offline", "orpo.py", 2) | {RATE: 4.576e-4},
    _variant("simpo-offline", "simpo.py", 2) | {RATE: 1.246e-4, BETA: 8.624},
    _variant("off-policy-grpo-k8", "off_policy_grpo.py", 8) | {RATE: 1.842e-4},
    _variant("grpo-k2", "grpo.py", 2) | {RATE: 5e-4},
    _variant("grpo-k8", "grpo.py", 8) | {RATE: 5e-4},
    _variant("dr-grpo-k8", "dr_grpo.py", 8) | {RATE: 5e-4},
    _variant("gspo-k8", "gspo.py", 8) | {RATE: 5e-4},
    _variant("rloo-k8", "rloo.py", 8) | {RATE: 5e-4},
    _variant("reinforce", "reinforce.py", 1) | {RATE: 3.67e-4},
    # The reward of a response without an end is that of all the others.
    _variant("ppo", "ppo.py", 1) | {RATE: 5e-4, "scoring.unfinished": 0.0},
  ]
  return product([sweep("seed", range(5)), variants])


def get_tuning() -> dict[str, Any]:
  """Where `experiments.tune --trials=8 --tuning_seeds=2` looks.

  Lower rates where nothing holds the policy, higher ones where a range up to 6e-4 (ORPO, KTO) or
  1.5e-3 (SFT) had its best at the end.
  """
  low = {"optimizer.learning_rate": log_uniform(2e-5, 6e-4)}
  wide = {"optimizer.learning_rate": log_uniform(5e-5, 3e-3)}
  beta = {"algorithm.beta": log_uniform(0.05, 10.0)}
  return {
    "optimizer.learning_rate": log_uniform(1e-4, 1.5e-3),
    "dpo-*": beta,
    "ipo-*": low | beta,
    "kto-*": wide | beta,
    "orpo-*": wide,
    "sft": {"optimizer.learning_rate": log_uniform(1e-4, 5e-3)},
    "simpo-*": low | beta,
  }


def _variant(name: str, file: str, k: int) -> dict[str, Any]:
  groups = {"group_size": k, "batch_prompts": RESPONSES // k}
  return {"name": name, "config": f"configs/{file}"} | BUDGET | groups
