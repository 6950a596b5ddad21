"""Which runs of a sweep train as one program, and what becomes of each."""

import os

import pytest

from experiments.sweeping import jobs, plan, programs
from experiments.sweeping.workers import Event
from training.errors import UserError


@pytest.fixture
def make(tmp_path):
  """Plans a sweep of these items."""

  def make(*items):
    file = tmp_path / "mine.py"
    file.write_text(f"def get_sweep():\n  return {list(items)!r}\n")
    return plan.make(str(file), {}, str(tmp_path / "out"))

  return make


def grpo(k=8, **fields):
  return {"config": f"configs/grpo.py:k={k}"} | {
    key.replace("__", "."): value for key, value in fields.items()
  }


def names(parts):
  return [[run.name for run in part] for part in parts]


def test_runs_that_differ_in_numbers_only_share_a_program(make):
  sweep = make(
    grpo(seed=0, name="a"),
    grpo(k=2, name="other-shapes"),
    grpo(seed=1, optimizer__learning_rate=1e-3, name="b"),
    grpo(algorithm__clip_high=0.3, sampling__temperature=0.9, name="c"),
    grpo(algorithm__beta=0.1, name="needs-a-reference"),
    grpo(optimizer__schedule="cosine", name="another-schedule"),
    grpo(eval__every=10, name="another-rhythm"),
    grpo(optimizer__name="muon", name="another-optimizer"),
    grpo(optimizer__name="muon", optimizer__momentum=0.9, name="of-other-numbers"),
  )
  assert names(programs.of(sweep.runs, 8, jobs=1)) == [
    ["a-s0", "b-s1", "c-s0"],
    ["other-shapes-s0"],
    ["needs-a-reference-s0"],
    ["another-schedule-s0"],
    ["another-rhythm-s0"],
    ["another-optimizer-s0", "of-other-numbers-s0"],
  ]


def test_by_default_pretrained_models_train_alone(make):
  runs = make(*(grpo(seed=seed) for seed in range(3))).runs
  for run in runs[:2]:
    run.config["model"]["pretrained"] = "smollm2-135m"
  assert [len(part) for part in programs.of(runs, 8, jobs=1)] == [2, 1]
  assert [len(part) for part in programs.of(runs, 8, jobs=1, only_small=True)] == [1, 1, 1]


def test_programs_are_of_about_one_size_and_leave_no_job_idle(make):
  runs = make(*(grpo(seed=seed) for seed in range(5))).runs
  assert [len(part) for part in programs.of(runs, 4, jobs=1)] == [2, 3]
  assert [len(part) for part in programs.of(runs, 8, jobs=3)] == [1, 2, 2]
  alone = programs.of(make(grpo(), grpo(k=2), grpo(seed=1)).runs, 1, jobs=1)
  assert names(alone) == [["grpo-k8-s0"], ["grpo-k2-s0"], ["grpo-k8-s1"]]  # in the sweep's order


@pytest.mark.parametrize(
  ("vectorize", "on_accelerator", "runs"),
  [("auto", True, programs.AUTO), ("auto", False, 1), ("off", True, 1), ("3", False, 3)],
)
def test_how_many_runs_a_program_may_have(vectorize, on_accelerator, runs):
  assert programs.at_most(vectorize, on_accelerator) == runs


@pytest.mark.parametrize("vectorize", ["0", "-1", "many", "2.5"])
def test_another_number_of_runs_is_refused(vectorize):
  with pytest.raises(UserError, match=f"--vectorize={vectorize}: auto, off, or how many"):
    programs.at_most(vectorize, on_accelerator=True)


def test_what_happens_to_a_program_happens_to_its_runs(make):
  sweep = make(grpo(seed=0), grpo(seed=1))
  job, news = jobs.training(sweep, sweep.runs), programs.News()

  def of_runs(kind, reason="", **rows):
    rows = {f"grpo-k8-{name}": row for name, row in rows.items()}
    event = Event(job, kind, progress={"runs": rows}, reason=reason)
    return [(e.job.name[-2:], e.kind, e.progress.get("step")) for e in news.of_runs(event)]

  assert of_runs("started") == [("s0", "started", None), ("s1", "started", None)]
  assert of_runs("progress", s0={"step": 1}) == [("s0", "progress", 1)]
  assert of_runs("progress", s0={"step": 1}, s1={"step": 1}) == [("s1", "progress", 1)]
  diverged = {"step": 2, "state": "diverged", "reason": "nan"}
  told = of_runs("progress", s0=diverged, s1={"step": 1})
  assert told == [("s0", "progress", 2), ("s0", "diverged", None)]
  assert of_runs("failed", "killed") == [("s1", "failed", None)]  # the other has ended already


def test_a_run_that_began_goes_on_in_as_many_places(make):
  runs = make(*(grpo(seed=seed) for seed in range(4))).runs
  before = [[run.name for run in runs[:3]], ["grpo-k8-s3", "gone-from-the-sweep"]]
  assert programs.begun(before, runs, runs, at_most=8) == []  # none has a checkpoint
  for run in runs[1:]:
    os.makedirs(run.folder.checkpoint(2))
  to_do = [runs[1], runs[3]]
  assert programs.begun(before, runs, to_do, at_most=8) == [runs[:3]]
  assert programs.begun(before, runs, to_do, at_most=2) == []  # --vectorize was made smaller
  assert programs.begun(before, runs, [runs[0]], at_most=8) == []
  runs[0].config["group_size"] = 2  # started anew, with another config
  assert programs.begun(before, runs, to_do, at_most=8) == []


def test_members_that_rest_are_not_trained_and_what_happens_is_not_theirs(make, tmp_path):
  sweep = make(grpo(seed=0), grpo(seed=1), grpo(seed=2))
  job = jobs.training(sweep, sweep.runs, resting={"grpo-k8-s0"})
  assert job.name == "grpo-k8-s1 and 1 more"
  assert [member.name for member in job.members] == ["grpo-k8-s1", "grpo-k8-s2"]
  resting = [run["name"] for run in job.arguments["runs"] if run["rests"]]
  assert resting == ["grpo-k8-s0"]
  alone = jobs.training(sweep, sweep.runs[:2], resting={"grpo-k8-s0"})
  assert alone.name == "grpo-k8-s1" and len(alone.arguments["runs"]) == 2
