"""Beta, the hold of the reference: of DPO's loss, offline and online, and of GRPO's KL term.

One name, two meanings. DPO's beta scales the log-ratio inside a sigmoid: it says how far a pair has
to be pulled apart. GRPO's is the price of a nat of KL in units of reward (here of the group's
spread); its usual value is 0. So compare each with itself; the reward-KL frontier of the report
compares all three.

28 updates on 256 responses each, 5 seeds of 12 variants that differ only in numbers within each of
the three.

Came out at commit 06478bb, sampled reward, mean of 5 seeds: grpo-k8-beta0 0.516, grpo-k8-beta0.02
0.512, grpo-k8-beta0.1 0.510, dpo-online-beta0.1 0.479, dpo-online-beta0.3 0.476, dpo-online-beta1
0.462, dpo-online-beta3 0.427, grpo-k8-beta0.5 0.422, dpo-offline-beta1 0.406, dpo-offline-beta3
0.396, dpo-offline-beta0.3 0.230, dpo-offline-beta0.1 0.095; base policy 0.256.
"""

from typing import Any

from configs.hyper import Item, chain, product, sweep

DPO_BETAS = (0.1, 0.3, 1.0, 3.0)
GRPO_BETAS = (0.0, 0.02, 0.1, 0.5)


def get_sweep() -> list[Item]:
  variants = [
    _betas("dpo-offline", {"config": "configs/dpo.py"}, DPO_BETAS),
    _betas("dpo-online", {"config": "configs/dpo.py", "source": "online"}, DPO_BETAS),
    _betas("grpo-k8", {"config": "configs/grpo.py:k=8"}, GRPO_BETAS),
  ]
  return product([sweep("seed", range(5)), chain(variants)])


def _betas(name: str, item: dict[str, Any], betas: tuple[float, ...]) -> list[Item]:
  return [
    item | {"name": f"{name}-beta{beta:g}", "algorithm.beta": beta, "eval.every": 7}
    for beta in betas
  ]
