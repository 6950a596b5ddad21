"""The table and the verdict that a sweep ends with in the terminal."""

import os

from rich.console import Console

from comparing import terminal_table
from tests.comparing import fake_sweep
from training.records.run_folder import RunFolder


def lines_of(folder: str, width: int = 120) -> list[str]:
  console = Console(record=True, width=width, file=open(os.devnull, "w"))
  terminal_table.print_table(folder, console)
  return [line.rstrip() for line in console.export_text().splitlines()]


def test_variants_are_ranked_by_the_sampled_reward_with_their_gains(tmp_path):
  folder = fake_sweep.write(tmp_path / "quick", variants=("dpo-offline", "grpo-k2", "grpo-k8"))
  lines = lines_of(folder)
  assert lines[0].startswith("final eval/reward_sampled, mean ± 95% CI over seeds; base policy 0.4")
  assert lines[1].split()[:6] == ["#", "variant", "seeds", "reward", "Δ", "base"]
  assert lines[1].split()[6:] == ["kl", "greedy", "rollouts"]
  ranked = [line.split() for line in lines[2:5]]
  assert [row[0] for row in ranked] == ["1", "2", "3"]
  assert ranked[0][6] == "▲" and ranked[2][1] == "dpo-offline" and ranked[2][6] == "▼"
  assert ranked[0][7].startswith("+0.2") and ranked[0][7].endswith("*")
  assert lines[5].startswith("▲ best") and lines[6].startswith(f"Best: {ranked[0][1]} (0.6")


def test_it_fits_a_terminal_of_eighty_columns(tmp_path):
  lines = lines_of(fake_sweep.write(tmp_path / "quick", seeds=(0, 1, 2)), width=120)
  assert max(len(line) for line in lines[:8]) <= 80 and "…" not in "".join(lines)


def test_every_variant_is_there_and_why_runs_failed(tmp_path):
  folder = fake_sweep.write(tmp_path / "quick", variants=("grpo-k2", "grpo-k8"))
  RunFolder(f"{folder}/grpo-k8-s2").mark("diverged", "train/loss is nan at step 37")
  for name in ("grpo-k8-s0", "grpo-k8-s1"):
    RunFolder(f"{folder}/{name}").clear()
  lines = lines_of(folder)
  assert lines[1].split()[-1] == "failed"
  assert lines[3].split() == ["—", "grpo-k8", "0", "of", "3", "—", "—", "—", "—", "—", "1"]
  assert lines[-3:] == [
    "grpo-k8-s0: not started",
    "grpo-k8-s1: not started",
    "grpo-k8-s2: diverged, train/loss is nan at step 37",
  ]


def test_one_seed_is_told_of_these_checkpoints(tmp_path):
  folder = fake_sweep.write(tmp_path / "one", variants=("grpo-k2", "grpo-k8"), seeds=(0,))
  fake_sweep.write_prompts(folder, {"grpo-k2-s0": 0.3, "grpo-k8-s0": 0.7})
  *_, told, of = lines_of(folder)
  assert "Clear gains over the base policy (0.4" in told and "clearly below it: grpo-k2" in told
  assert of == "Tested over 200 held-out prompts: of these checkpoints, not of other seeds'."
