"""ReMax below REINFORCE: is it the height of the greedy baseline, or what it says of the prompt?

The greedy response to a prompt is right more often than the samples that it is a baseline of. So
`remax` subtracts more than their mean from most rewards, and other amounts at easy prompts than at
hard ones. `from_greedy` has the two apart; with both it is `remax`:

  b_i = mean(r) + height (mean(g) - mean(r)) + shape (g_i - mean(g)),   g: the greedy rewards

Steps of 256 rollouts, greedy ones counted, 28 updates, no KL; 5 seeds of 7 variants:

  neither, height, shape, both   128 prompts, a sample of each and its greedy response
  both-k7, neither-k7            32 prompts, 7 samples of each and its greedy response
  reinforce                      256 prompts, a sample of each: none is spent on a baseline

Came out at commit 2b71eb0, sampled reward, mean of 5 seeds: reinforce 0.598, neither-k7 0.533,
neither 0.517, height 0.374, both-k7 0.350, shape 0.322, both 0.279; base policy 0.256.
"""

from configs.hyper import Item, product, sweep

LOSS = "configs.sweeps.remax:from_greedy"
NEITHER = {"algorithm.shape": 0.0, "algorithm.height": 0.0}
HEIGHT, SHAPE = NEITHER | {"algorithm.height": 1.0}, NEITHER | {"algorithm.shape": 1.0}
K1, K7 = ({"config": f"configs/remax.py:k={k}", "algorithm.loss": LOSS} for k in (1, 7))

VARIANTS: list[Item] = [
  {"name": "neither", **K1, **NEITHER},
  {"name": "height", **K1, **HEIGHT},
  {"name": "shape", **K1, **SHAPE},
  {"name": "both", **K1},
  {"name": "neither-k7", **K7, **NEITHER},
  {"name": "both-k7", **K7},
  {"name": "reinforce", "config": "configs/reinforce.py"},
]


def get_sweep() -> list[Item]:
  return product([sweep("seed", range(5)), sweep("eval.every", [7]), VARIANTS])


def from_greedy(logps, rewards, greedy_rewards, mask, *, shape=1.0, height=1.0):
  """REINFORCE with a baseline of the samples' mean and parts of what ReMax's adds to it."""
  mean, greedy = rewards.mean(), greedy_rewards.mean()
  baseline = mean + height * (greedy - mean) + shape * (greedy_rewards[:, None] - greedy)
  loss = -((rewards - baseline) * (logps * mask).sum(-1)).mean()
  return loss, {"greedy_reward": greedy}
