"""k1, k2 and k3 as GRPO's penalty: three estimates of one KL, three different gradients.

As a loss k1 has a gradient of mean zero, so that it holds nothing; k2's is the true one; k3's is
the gradient of the KL the other way round (algorithms/divergences.py). Each at two prices of a nat,
and a run without a penalty; K = 8, 28 updates on 256 responses each, 5 seeds of 7 variants.

k1 should go as far from the reference as no penalty does, with more noise; k2 and k3 stay nearer
the dearer a nat is. `eval/kl` measures all of them the same way.

Came out at commit d4dc6aa, sampled reward, mean of 5 seeds: k2-beta0.1 0.517, no-kl 0.516,
k3-beta0.1 0.510, k1-beta0.1 0.509, k2-beta0.5 0.458, k1-beta0.5 0.447, k3-beta0.5 0.422; base
policy 0.256.
"""

from configs.hyper import Item, chain, product, sweep


def get_sweep() -> list[Item]:
  without = [{"name": "no-kl", "algorithm.beta": 0.0}]
  penalties = [
    {"name": f"{kl}-beta{beta:g}", "algorithm.kl": kl, "algorithm.beta": beta}
    for kl in ("k1", "k2", "k3")
    for beta in (0.1, 0.5)
  ]
  config = [{"config": "configs/grpo.py:k=8", "eval.every": 7}]
  return product([sweep("seed", range(5)), config, chain([without, penalties])])
