"""One run as a library: collect, score, update, evaluate, save.

  from training import load_config, load_run, train

  run = train(load_config("configs/grpo.py:k=4", {"steps": 20}))
  run.metrics["eval/reward_sampled"]         # an array; a column, where pandas is installed
  run.policy.sample(["stone>"], n=4)         # responses, as texts
  run.evaluate(task="chain_sum")             # means over prompts, with standard errors
  load_run("runs/quick/grpo-k8-s0").policy   # of a run that ended before

`loop.train` is the algorithm, `run.train` what a person calls, `assembly` lies between the two.
"""

import importlib
from typing import Any

# By name, so that `import training` imports no jax and `training.update` only what it stands on.
_PUBLIC = {
  "train": "training.run:train",
  "load_run": "training.run:load_run",
  "load_runs": "training.run:load_runs",
  "Run": "training.run:Run",
  "load_config": "training.checking.config_files:load",
  "UserError": "training.errors:UserError",
  "Diverged": "training.errors:Diverged",
}


def __getattr__(name: str) -> Any:
  if name not in _PUBLIC:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
  module, _, attribute = _PUBLIC[name].partition(":")
  return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
  return sorted([*globals(), *_PUBLIC])
