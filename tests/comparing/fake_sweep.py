"""Run folders as training leaves them, with made-up numbers, to test the report on."""

import json
import math
import os
import random
from typing import Any

from comparing.comparison import Comparison, Variant
from comparing.runs import Run
from training.records.metric_columns import Columns
from training.records.run_folder import RunFolder

BASE = {
  "eval/reward": 0.602,
  "eval/reward_sampled": 0.443,
  "eval/pass@4": 0.71,
  "eval/kl": 0.0,
  "eval/entropy": 1.9,
  "eval/length": 5.9,
  "eval/finished": 0.97,
}

#         name -> config file, loss, K, gain of greedy reward, final KL, weight of the best response
VARIANTS = {
  "dpo-offline": ("configs/dpo.py", "dpo", 2, 0.02, 0.6, 0.05),
  "dpo-online": ("configs/dpo.py", "dpo", 2, 0.13, 2.4, 0.05),
  "grpo-k2": ("configs/grpo.py:k=2", "grpo", 2, 0.21, 1.9, 1.0),
  "grpo-k8": ("configs/grpo.py:k=8", "grpo", 8, 0.20, 1.6, 1.3),
  "off-policy-grpo-k8": ("configs/off_policy_grpo.py:k=8", "off_policy_grpo", 8, 0.09, 0.9, 1.2),
}
PROMPTS = {
  "spell ocean backward": "naeco",
  "spell lamp backward": "pmal",
  "<script>alert(1)</script>": "x",
}


def write(folder, variants=tuple(VARIANTS), seeds=(0, 1, 2), steps=8) -> str:
  """A finished sweep under `folder`; returns its path."""
  folder = str(folder)
  runs = [{"name": f"{v}-s{seed}", "variant": v} for seed in seeds for v in variants]
  for run in runs:
    write_run(folder, run["variant"], int(run["name"].rpartition("-s")[2]), steps)
  write_sweep(folder, runs)
  return folder


def compare(*variants: Variant) -> Comparison:
  """Returns the comparison of a sweep of these; the first is the baseline."""
  return Comparison("quick", (), "", "", "", variants, variants[0])


def finished(name: str, rewards: dict[int, float], rollouts: int = 100, **config: Any) -> Variant:
  """Runs from a base policy of 0.0 to these final rewards, by seed."""

  def run(seed: int, reward: float) -> Run:
    rows = [{"step": 0, "rollouts": 0, "eval/reward": 0.0}]
    rows += [{"step": 1, "rollouts": rollouts, "eval/reward": reward}]
    return Run(
      RunFolder(f"{name}-s{seed}"), name, "finished", {}, {"seed": seed} | config, Columns(rows)
    )

  return Variant(name, tuple(run(seed, reward) for seed, reward in rewards.items()))


def write_sweep(folder: str, runs: list[dict]) -> None:
  os.makedirs(folder, exist_ok=True)
  head = {
    "name": "quick",
    "file": "configs/sweeps/quick.py",
    "created": 1.79e9,
    "commit": "57096fc9ab",
  }
  with open(os.path.join(folder, "sweep.json"), "w") as file:
    json.dump(head | {"runs": runs}, file)


def write_prompts(folder: str, shares: dict[str, float], prompts: int = 200) -> None:
  """Writes these runs' rewards by prompt: about half of them 1 at step 0, `shares` of them at last.

  Their means are the runs' final rewards from then on.
  """
  for name, share in shares.items():
    run = RunFolder(os.path.join(folder, name))
    draw = random.Random(name)
    last = run.read_metrics()[-1]["step"]
    for step, chance in ((0, 0.5), (last, share)):
      sampled = [sum(draw.random() < chance for _ in range(4)) / 4 for _ in range(prompts)]
      greedy = [float(reward > 0.5) for reward in sampled]
      run.append_prompts({"step": step, "greedy": greedy, "sampled": sampled})
    row = {"eval/reward": sum(greedy) / prompts, "eval/reward_sampled": sum(sampled) / prompts}
    run.append_metrics({"step": last} | row)


def write_run(folder: str, variant: str, seed: int, steps: int = 8) -> RunFolder:
  config_file, *_ = VARIANTS[variant]
  run = RunFolder(os.path.join(folder, f"{variant}-s{seed}"))
  run.create(
    config_of(variant, seed, steps),
    digest="0badc0de",
    config_file=config_file,
    variant=variant,
    sweep="quick",
    command=f"python -m experiments.train --config={config_file} --config.seed={seed}",
  )
  run.write_env("cpu x1", "characters")
  for row in rows_of(variant, seed, steps):
    run.append_metrics(row)
  run.append_completions(completions_of(variant, seed, steps))
  run.append_groups(groups_of(variant, steps))
  run.write_status("finished", step=steps, steps=steps)
  return run


def config_of(variant: str, seed: int, steps: int) -> dict[str, Any]:
  _, loss, k, *_ = VARIANTS[variant]
  shared: dict[str, Any] = {"model": {"layers": 3}, "base": {"steps": 180}}
  shared["task"] = {"name": "spell_backward", "eval_prompts": 512}
  algorithm = {"loss": loss} | (
    {"beta": 0.1} if loss == "dpo" else {"clip_low": 0.2, "clip_high": 0.2}
  )
  source = "offline" if variant.startswith("off") or variant.endswith("offline") else "online"
  groups = {"group_size": k, "batch_prompts": 256 // k, "source": source}
  return {"seed": seed, "steps": steps} | groups | shared | {"algorithm": algorithm}


def rows_of(variant: str, seed: int, steps: int) -> list[dict]:
  draw = random.Random(f"{variant}{seed}")
  _, loss, _, gain, kl, weight = VARIANTS[variant]
  luck = draw.gauss(0, 0.012)
  rows = [{"step": 0, "rollouts": 0, "tokens": 0, "seconds": 0.0} | BASE]
  for step in range(1, steps + 1):
    done = step / steps
    rise = (1 - math.exp(-3 * done)) / (1 - math.exp(-3))
    row = {
      "step": step,
      "rollouts": 20480 * step // steps,
      "tokens": 1500 * step + draw.randrange(99),
    }
    row |= {"seconds": 0.26 * step + draw.random(), "train/loss": draw.gauss(0, 0.1)}
    row |= {
      "train/grad_norm": 0.5 + draw.random(),
      "train/entropy": 1.9 - rise + draw.gauss(0, 0.05),
    }
    row |= {"train/reward": 0.44 + gain * rise + draw.gauss(0, 0.03)}
    row |= {"train/completions/mean_length": 5.9 + draw.gauss(0, 0.1)}
    row |= {"train/implied_rewards/best": weight * (1 - 0.6 * rise) + draw.gauss(0, 0.05 * weight)}
    row |= {
      "train/implied_rewards/worst": -weight * (1 - 0.5 * rise) + draw.gauss(0, 0.05 * weight)
    }
    if loss != "dpo":
      row |= {"train/clip_ratio/region_mean": 0.02 + 0.02 * draw.random()}
    if step % (steps // 4) == 0:
      row |= {"eval/reward": 0.602 + (gain + luck) * rise + draw.gauss(0, 0.006)}
      row |= {"eval/reward_sampled": 0.443 + (gain + luck) * rise * 1.1 + draw.gauss(0, 0.006)}
      row |= {"eval/pass@4": 0.71 + 0.4 * gain * rise, "eval/kl": kl * done * (1 + 5 * luck)}
      row |= {"eval/entropy": 1.9 - kl / 3 * rise, "eval/length": 5.9, "eval/finished": 0.99}
    rows.append(row)
  return rows


def completions_of(variant: str, seed: int, steps: int) -> list[dict]:
  draw = random.Random(f"{variant}{seed}")
  rows = []
  for step in (0, steps):
    for prompt, answer in PROMPTS.items():
      right = draw.random() < (0.4 if step == 0 else 0.8)
      row = {"step": step, "prompt": prompt, "answer": answer, "finished": True}
      wrong = "<script>alert(2)</script>"
      samples = [{"completion": "<b>sample</b>", "reward": 0.0, "finished": False}]
      row |= {"completion": answer if right else wrong, "reward": float(right), "samples": samples}
      rows.append(row)
  return rows


def groups_of(variant: str, steps: int) -> list[dict]:
  *_, k, _, _, weight = VARIANTS[variant]
  rows = []
  for step in (1, steps):
    responses = []
    for i in range(k):
      one = {"completion": f"<i>{i}</i>", "finished": i > 0, "tokens": 4, "reward": 1.0 * (i == 1)}
      own = weight if i == 1 else -weight / (k - 1)
      one |= {"weight": own, "push": 4 * own}
      if k > 2:
        one |= {"rewards": {"exact": one["reward"], "brief": 0.5}}
        one |= {"reward": None} if i == 0 else {}
      responses.append(one)
    rows.append({"step": step, "prompt": "group of lamp", "answer": "pmal", "responses": responses})
  return rows
