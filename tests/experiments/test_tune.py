"""The tune command, as a person runs it: what it prints, writes and exits with."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from experiments import sweep, tune
from experiments.sweeping import plan
from experiments.tuning import results
from tests.experiments import commands
from training.errors import UserError
from training.records.run_folder import RunFolder

SWEEP = """
from configs.hyper import log_uniform

TINY = {
  "steps": 4, "batch_prompts": 4, "base.steps": 0, "eval.every": 1, "checkpoint.every": 1,
  "task.train_prompts": 64, "task.eval_prompts": 32, "eval.samples": 4, "wandb.mode": "disabled",
  "model.layers": 1, "model.d_model": 16, "model.ff_dim": 16, "model.head_dim": 8,
  "task.reward": "length(max=4)",
  "optimizer.learning_rate": 4e-2,  # good: the first trial leads, and others are stopped
}

def get_sweep():
  for seed in range(2):
    yield {"name": "plain", "config": "configs/sft.py", **TINY, "seed": seed}
    yield {"name": "decayed", "config": "configs/sft.py", **TINY, "seed": seed,
           "optimizer.weight_decay": 0.1}

def get_tuning():
  return {"optimizer.learning_rate": log_uniform(1e-4, 3e-1)}
"""
VARIANTS = ("plain", "decayed")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
  """An empty folder with a sweep file of two tiny variants."""
  folder = tmp_path_factory.mktemp("home")
  (folder / "tiny.py").write_text(SWEEP)
  return folder


def typed(home, *words, main=tune.main, file="tiny.py"):
  """The command in this process, for what needs no worker."""
  return commands.run(main, f"--config={file}", *words, place=home)


def start(home, *words):
  here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
  return subprocess.Popen(
    [sys.executable, "-m", "experiments.tune", "--config=tiny.py", "--trials=4", *words],
    cwd=home,
    env=os.environ | {"PYTHONPATH": here},
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def until(is_so, seconds=900):
  deadline = time.time() + seconds
  while not is_so():
    assert time.time() < deadline
    time.sleep(0.02)


def best(home, folder):
  with open(home / folder / "best.json") as file:
    return json.load(file)


def test_a_dry_run_shows_the_most_that_it_can_cost_and_writes_nothing(home):
  before = commands.written(home)
  done = typed(home, "--dry_run", "--trials=6", "--tuning_seeds=3")
  assert (done.returncode, done.stderr) == (0, "")
  assert "2 variants, at most 36 runs and 144 steps, in runs/tiny-tune" in done.stdout
  assert "tuning seeds 1000, 1001, 1002" in done.stdout
  assert "0.0001..0.3:log" in done.stdout and "2, 4, 8" in done.stdout
  done = typed(home, "--dry_run", "--tune.optimizer.learning_rate=1e-4,2e-4", "--only=plain")
  assert "1 variant, at most 4 runs" in done.stdout  # a grid of two
  assert commands.written(home) == before


@pytest.mark.parametrize(
  ("words", "answer"),
  [
    (["--trials=1"], "--trials=1: fewer runs than there is to compare: at least 2 trials for each"),
    (["--jobs=0"], "--jobs=0"),
    (["--only=nothing"], "no variant's name contains 'nothing'. The variants: plain, decayed"),
    (["--tuning_seeds=1,7"], "tiny.py compares on seed 1; what was tuned on a seed must not"),
    (["--tuning_seeds=0"], "--tuning_seeds=0: how many, or different seeds such as 1000,1001"),
    (["--tuning_seeds=7,7"], "--tuning_seeds=7,7: how many, or different seeds"),
    (["--tune.optimizer.lr=1e-4..1e-3"], "Did you mean optimizer.learning_rate?"),
    (["--tune.optimizer.learning_rate=0..1:log"], "both must be above 0"),
    (["--config.stps=3"], "Did you mean --config.steps"),
    (["--tunes.steps=3"], "is not a flag"),
    (["--resources=gpus_per_node=1"], "for --launcher=slurm and the like only"),
  ],
)
def test_bad_usage_is_answered_with_exit_code_2_and_nothing_is_run(home, words, answer):
  before = commands.written(home)
  done = typed(home, *words)
  assert done.returncode == 2
  assert done.stderr.startswith("error: ") and answer in done.stderr
  assert commands.written(home) == before


def test_without_optuna_it_says_what_to_type(home, monkeypatch):
  before = commands.written(home)
  monkeypatch.setitem(sys.modules, "optuna", None)  # as if it were not there
  done = typed(home)
  assert done.returncode == 2
  assert done.stderr == 'error: experiments.tune needs Optuna: pip install -e ".[tune]"\n'
  assert commands.written(home) == before


def test_a_sweep_without_a_space_asks_for_one(home):
  (home / "bare.py").write_text(SWEEP.replace("get_tuning", "get_nothing"))
  done = typed(home, file="bare.py")
  assert done.returncode == 2 and "bare.py has no get_tuning()" in done.stderr


@pytest.fixture(scope="module")
def tuned(home):
  """A tune that was never interrupted; its output."""
  process = start(home, "--jobs=2", "--out=runs/whole")
  output, _ = process.communicate(timeout=900)
  assert process.returncode == 0, output
  return output


def trials(home, folder):
  """For each variant the values, the outcome and the score of each trial."""
  return {
    name: [(t["values"], t["outcome"], t["score"]) for t in about["trials"]]
    for name, about in best(home, folder)["variants"].items()
  }


@pytest.mark.slow
def test_each_variant_has_as_many_trials_and_poor_ones_stop_early(home, tuned):
  found = trials(home, "runs/whole")
  assert {name: len(some) for name, some in found.items()} == dict.fromkeys(VARIANTS, 4)
  outcomes = [outcome for some in found.values() for _, outcome, _ in some]
  assert set(outcomes) == {"complete", "pruned"}
  for name, some in found.items():
    about = best(home, "runs/whole")["variants"][name]
    complete = [(score, values) for values, outcome, score in some if outcome == "complete"]
    assert about["best"] == max(complete, key=lambda one: one[0])[1]
    assert about["steps"] < 4 * 2 * 4 and about["runs"] < 8


@pytest.mark.slow
def test_a_run_that_was_stopped_early_says_why_and_did_not_fail(home, tuned):
  folders = [RunFolder(str(path)) for path in sorted((home / "runs" / "whole").glob("*-s100?"))]
  stopped = [folder for folder in folders if folder.read_status()["state"] == "stopped"]
  assert stopped
  for folder in stopped:
    status = folder.read_status()
    assert status["reason"].startswith(f"pruned at step {status['step']}: ")
    assert 0 < status["step"] < 4
    assert folder.read_metrics()[-1]["step"] == status["step"]
    assert f"{folder.name}: pruned  {status['step']}/4" in tuned
  assert "failed" not in tuned.replace("diverged  failed", "")


@pytest.mark.slow
def test_the_end_names_the_best_and_the_next_command(home, tuned):
  about = best(home, "runs/whole")["variants"]["plain"]["best"]["optimizer.learning_rate"]
  assert f'"optimizer.learning_rate": {about!r},  # plain' in tuned
  assert "report: runs/whole/report.html" in tuned
  assert "experiments.sweep --config=tiny.py --tuned=runs/whole" in tuned
  page = (home / "runs" / "whole" / "report.html").read_text()
  assert f"<b>{about:g}</b>" in page


@pytest.mark.slow
def test_killed_at_any_time_it_goes_on_with_the_same_trials(home, tuned):
  folder = home / "runs" / "killed"

  def steps():
    return {
      path.parent.name: len(path.read_text().splitlines())
      for path in folder.glob("*/metrics.jsonl")
    }

  for more in (3, 20):  # rows of metrics: in the first trials, and in later ones
    enough, process = sum(steps().values()) + more, start(home, "--out=runs/killed")
    until(lambda n=enough, p=process: sum(steps().values()) >= n or p.poll() is not None)
    process.kill()  # -9: it can write nothing down
    process.communicate()
  ended = {
    path.parent.name: path.stat().st_mtime_ns
    for path in folder.glob("*/status.json")
    if json.loads(path.read_text())["state"] == "finished"
  }
  assert ended and not (folder / "best.json").exists()
  process = start(home, "--out=runs/killed")
  output, _ = process.communicate(timeout=900)
  assert process.returncode == 0, output
  assert trials(home, "runs/killed") == trials(home, "runs/whole")
  names = {path.name for path in folder.glob("*-s100?")}
  assert names == {path.name for path in (home / "runs" / "whole").glob("*-s100?")}
  again = {name: (folder / name / "status.json").stat().st_mtime_ns for name in ended}
  assert again == ended  # no trial was repeated


@pytest.mark.slow
def test_the_same_command_again_trains_nothing_and_fewer_trials_are_the_first_of_them(home, tuned):
  shutil.copytree(home / "runs" / "whole", home / "runs" / "more")
  before = trials(home, "runs/more")
  began = time.time()
  done = typed(home, "--trials=4", "--out=runs/more")
  assert done.returncode == 0 and "running" not in done.stdout
  assert time.time() - began < 30
  assert trials(home, "runs/more") == before
  done = typed(home, "--trials=3", "--out=runs/more")
  assert trials(home, "runs/more") == {name: some[:3] for name, some in before.items()}


@pytest.mark.slow
def test_trials_of_another_space_or_config_are_refused_by_name(home, tuned):
  done = typed(home, "--out=runs/whole", "--tune.optimizer.learning_rate=0.3..0.4")
  assert done.returncode == 2
  assert "runs/whole/plain-t00-s1000 was tuned with optimizer.learning_rate=" in done.stderr
  done = typed(home, "--out=runs/whole", "--config.steps=9")
  assert done.returncode == 2
  assert "plain-t00-s1000 holds a run of another config (steps 4 -> 9)" in done.stderr


@pytest.mark.slow
def test_the_sweep_takes_the_best_values_and_its_page_says_so(home, tuned):
  done = typed(home, "--tuned=runs/whole", "--dry_run=commands", main=sweep.main)
  assert done.returncode == 0
  rate = best(home, "runs/whole")["variants"]["decayed"]["best"]["optimizer.learning_rate"]
  lines = [line for line in done.stdout.splitlines() if "runs/tiny/decayed-s" in line]
  assert len(lines) == 2
  assert all(f"--config.optimizer.learning_rate={rate}" in line for line in lines)


def test_results_are_of_their_sweep_file_or_refused_by_name(tmp_path):
  (tmp_path / "tiny.py").write_text(SWEEP)
  path = str(tmp_path / "best.json")

  def planned(text=SWEEP, **common):
    (tmp_path / "tiny.py").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
      patch.chdir(tmp_path)
      patch.syspath_prepend(str(tmp_path))
      return plan.make("tiny.py", common, str(tmp_path / "out"))

  def taken(text=SWEEP, **common):
    sweep_now = planned(text, **common)
    with pytest.MonkeyPatch.context() as patch:
      patch.chdir(tmp_path)
      return results.values(path, results.read(path), sweep_now)

  results.write(str(tmp_path), results_of(planned(), tmp_path))
  fits = taken()
  assert fits == dict.fromkeys(VARIANTS, {"optimizer.learning_rate": 0.01})
  assert taken(
    SWEEP.replace("TINY,", '**TINY, "optimizer.learning_rate": 0.5,').replace("****", "**")
  )
  assert taken(**{"eval.samples": 3, "wandb.mode": "offline", "optimizer.learning_rate": 0.7})
  for text, common, problem in (
    (SWEEP, {"steps": 9}, "plain: steps 4 -> 9"),
    (SWEEP.replace('"decayed"', '"decay"'), {}, "decay was not tuned"),
    (SWEEP.replace('"decayed"', '"decay"'), {}, "decayed was tuned, and is no variant any more"),
    (SWEEP.replace("weight_decay", "b1"), {}, "decayed: optimizer.b1"),
    (SWEEP.replace("3e-1", "2e-1"), {}, "learning_rate over 0.0001..0.3:log -> 0.0001..0.2:log"),
    (SWEEP.replace("range(2)", "range(999, 1001)"), {}, "seed 1000 was tuned on"),
  ):
    with pytest.raises(UserError, match="no longer fits tiny.py") as refused:
      taken(text, **common)
    assert problem in str(refused.value)
  (tmp_path / "other.json").write_text("{}")
  with pytest.raises(UserError, match="no results of experiments.tune"):
    results.read(str(tmp_path / "other.json"))


def results_of(sweep_plan, home):
  """What a tune of this plan would have written, had it tried one rate."""
  from experiments.tuning import space
  from experiments.tuning.trials import Trials

  variants = {run.variant: run for run in sweep_plan.runs[:2]}
  folder = str(home / "tune")
  with pytest.MonkeyPatch.context() as patch:
    patch.chdir(home)
    domains = space.of("tiny.py", {}, variants)
    all_trials, tune_plan = [], plan.Plan("tiny-tune", "tiny.py", folder, {}, [], [])
    for name, run in variants.items():
      planned = plan.with_values(
        run, {"optimizer.learning_rate": 0.01, "seed": 1000}, "tiny-tune", f"{name}-t00", folder
      )
      about = {"digest": planned.digest, "config_file": "x", "variant": planned.variant}
      planned.folder.create(planned.config, **about)
      row = {"step": 4, "eval/reward_sampled": 0.5, "eval/kl": 0.1}
      planned.folder.append_metrics(row)
      planned.folder.write_status("finished", step=4, steps=4, metrics=row)
      all_trials.append(Trials(run, domains[name], tune_plan, (1000,), 1))
      assert all_trials[-1].next() is None
    return results.collect(tune_plan, all_trials, space.of_file("tiny.py", variants))


def test_a_name_that_says_what_was_tuned_is_refused(tmp_path):
  text = (
    'def get_sweep():\n  for rate in (1e-4, 2e-4):\n    yield {"config": "configs/dpo.py", '
    '"optimizer.learning_rate": rate}\n'
  )
  (tmp_path / "rates.py").write_text(text)
  values = {"dpo-lr0.0001": {"optimizer.learning_rate": 3e-4}}
  with pytest.raises(UserError, match="what tells the variants apart cannot be tuned"):
    plan.make(str(tmp_path / "rates.py"), {}, tuned=values)


@pytest.mark.slow
def test_interrupted_it_stops_cleanly(home, tuned):
  process = start(home, "--out=runs/interrupted")
  folder = home / "runs" / "interrupted"
  until(lambda: any(folder.glob("*/metrics.jsonl")))
  process.send_signal(signal.SIGINT)
  output, _ = process.communicate(timeout=120)
  assert process.returncode == 130
  assert "Run the same command again to go on with the same trials." in output
