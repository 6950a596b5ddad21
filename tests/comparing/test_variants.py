"""Runs called one variant that are none: the page and the terminal say so."""

import re

from experiments import report
from tests.comparing import fake_sweep
from training.records.run_folder import RunFolder


def page_of(folder) -> str:
  """The page's own text: scripts out, spaces joined."""
  with open(f"{folder}/report.html") as file:
    return " ".join(re.sub(r"<script.*?</script>", "", file.read(), flags=re.S).split())


def rewrite(run: RunFolder, seed: int, **changes) -> None:
  """Gives a written run's config another seed and these sections."""
  config = run.read_config()["config"] | {"seed": seed} | changes
  run.create(config, digest="0badc0de", config_file="", variant="grpo-k2")


def test_a_variant_whose_runs_differ_in_more_than_seeds_is_a_problem_on_the_page(tmp_path, capsys):
  runs = [fake_sweep.write_run(str(tmp_path), "grpo-k2", seed) for seed in range(3)]
  for seed, run in enumerate(runs):  # seeds alone, if of three kinds
    parts = {"base": {"steps": 180, "seed": seed}, "reward_model": {"seed": seed}}
    rewrite(run, seed, **parts)
  assert report.main([str(tmp_path)]) == 0 and not capsys.readouterr().err
  assert 'class="problem"' not in page_of(tmp_path)
  rewrite(runs[1], 1, steps=9, optimizer={"learning_rate": 0.5})
  assert report.main([str(tmp_path)]) == 0
  said = (
    "The runs of grpo-k2 differ in more than their seeds (steps, optimizer.learning_rate"
    "): its mean and interval mix them."
  )
  assert said in page_of(tmp_path)
  assert capsys.readouterr().err == f"note: {said}\n"


def test_two_runs_of_one_seed_are_a_problem_on_the_page(tmp_path):
  runs = [fake_sweep.write_run(str(tmp_path), "grpo-k2", seed) for seed in range(2)]
  rewrite(runs[1], 0)
  report.write(str(tmp_path))
  assert "grpo-k2 has several runs of seed 0: only one of them is paired by seed." in page_of(
    tmp_path
  )
