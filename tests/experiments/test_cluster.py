"""A sweep's jobs through submitit: its local and debug executors, and SLURM's commands."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import types
import warnings
from functools import partial

import pytest

from experiments import sweep
from experiments.sweeping import cluster, launchers, plan, programs
from experiments.sweeping.cluster import Cluster
from experiments.sweeping.workers import Job
from tests.experiments import fake_slurm
from training.errors import UserError
from training.records import files

pytest.importorskip("submitit")

FUNCTIONS = """
import os, pathlib, signal, time
from training.records.files import write_atomically
from training.errors import Diverged

def work(report, *, steps=2):
  print("working")
  for step in range(1, steps + 1):
    report({"step": step, "steps": steps, "pid": os.getpid()})

def diverge(report):
  raise Diverged("train/loss is nan")

def die(report):
  os.kill(os.getpid(), signal.SIGKILL)

def until(condition):
  deadline = time.time() + 120
  while not condition():
    assert time.time() < deadline
    time.sleep(0.1)

def wait(report, *, checkpoint, until_there=""):
  '''The first time it "saves" and waits; resumed, it goes on from there.'''
  path = pathlib.Path(checkpoint)
  if path.exists():
    report({"step": 2, "steps": 2})
    return
  write_atomically(checkpoint, str(os.getpid()))
  report({"step": 1, "steps": 2})
  until(pathlib.Path(until_there).is_file)

def beside(report, *, runs):
  assert [run["rests"] for run in runs] == [True, False]

def together(report, *, names, until_there):
  report({"runs": {"a": {"step": 2, "state": "finished", "reason": ""}}})
  until(pathlib.Path(until_there).is_file)
  report({"runs": {name: {"step": 2, "state": "finished", "reason": ""} for name in names}})
"""


@pytest.fixture
def job(tmp_path, monkeypatch):
  """Makes jobs that call a function of a module outside the project."""
  (tmp_path / "cluster_jobs.py").write_text(FUNCTIONS)
  monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
  monkeypatch.syspath_prepend(str(tmp_path))

  def make(name, function="", **arguments):
    log = str(tmp_path / f"{name}.txt")
    return Job(name, f"cluster_jobs:{function or name}", arguments, log)

  return make


@pytest.fixture(autouse=True)
def as_before():
  """Jobs that run in this process make it what a command is."""
  handler, hook = signal.getsignal(signal.SIGINT), sys.unraisablehook
  with warnings.catch_warnings():
    yield
  signal.signal(signal.SIGINT, handler)
  sys.unraisablehook = hook


@pytest.fixture
def slurm(tmp_path, monkeypatch):
  """A SLURM of one machine; returns its folder."""
  folder = tmp_path / "slurm"
  folder.mkdir()
  for name, value in fake_slurm.install(folder).items():
    monkeypatch.setenv(name, value)
  return folder


def run(tmp_path, jobs, launcher="submitit-local", size=3, resources=""):
  with Cluster(launcher, str(tmp_path / "sweep"), size, resources) as pool:
    return list(pool.run(jobs))


def ends(events):
  endings = ("finished", "failed", "diverged", "stopped")
  return {event.job.name: (event.kind, event.reason) for event in events if event.kind in endings}


def until(condition):
  deadline = time.time() + 60
  while not condition():
    assert time.time() < deadline
    time.sleep(0.1)


def test_local_jobs_fail_alone_and_report_as_they_go(tmp_path, job):
  work = job("work")
  events = run(tmp_path, [work, job("diverge"), job("die")])
  found = ends(events)
  assert found["work"] == ("finished", "")
  assert found["diverge"] == ("diverged", "train/loss is nan")
  assert found["die"][0] == "failed" and "ended without a result" in found["die"][1]
  progress = [event.progress for event in events if event.kind == "progress"]
  assert progress[-1]["step"] == 2 and progress[-1]["pid"] != os.getpid()
  with open(work.log) as log:
    assert log.readline() == "working\n"


def test_debug_jobs_run_in_this_process(tmp_path, job, capsys):
  events = run(tmp_path, [job("work"), job("diverge")], "submitit-debug", size=1)
  assert {kind for kind, _ in ends(events).values()} == {"finished", "diverged"}
  assert [e.progress["pid"] for e in events if e.kind == "progress"] == [os.getpid()]
  assert "working" in capsys.readouterr().out


def test_no_more_local_jobs_at_a_time_than_asked_for(tmp_path, job):
  jobs = [job(f"work{i}", "work") for i in range(2)]
  kinds = [event.kind for event in run(tmp_path, jobs, size=1) if event.kind != "progress"]
  assert kinds == ["started", "finished"] * 2


def test_a_preempted_job_is_queued_again_and_resumes(tmp_path, job):
  checkpoint = tmp_path / "checkpoint"
  with Cluster("submitit-local", str(tmp_path / "sweep"), 1, "") as pool:
    events = pool.run([job("wait", checkpoint=str(checkpoint))])
    seen = [next(events)]
    until(checkpoint.exists)
    os.kill(int(checkpoint.read_text()), signal.SIGUSR2)  # as SLURM tells a job to make way
    seen += events
  assert ends(seen) == {"wait": ("finished", "")}
  assert [event.progress["step"] for event in seen if event.kind == "progress"][-1] == 2


def test_stopping_cancels_the_jobs_and_starts_no_more(tmp_path, job):
  with Cluster("submitit-local", str(tmp_path / "sweep"), 1, "") as pool:
    events = pool.run([job("wait", checkpoint=str(tmp_path / "checkpoint")), job("work")])
    seen = [next(events)]
    until((tmp_path / "checkpoint").exists)
    pool.stop()
    seen += events
  assert [event.kind for event in seen if event.kind != "progress"] == ["started", "stopped"]


def test_slurm_runs_the_jobs_as_one_array_with_the_resources_asked_for(tmp_path, job, slurm):
  jobs = [job("work"), job("diverge")]
  events = run(tmp_path, jobs, "slurm", size=2, resources="slurm_partition=gpu,timeout_min=90")
  assert ends(events)["work"] == ("finished", "")
  assert ends(events)["diverge"] == ("diverged", "train/loss is nan")
  batch = (slurm / "sbatch.txt").read_text()
  assert "--array=0-1%2" in batch and "--partition=gpu" in batch and "--time=90" in batch


def test_slurm_queues_a_preempted_job_again(tmp_path, job, slurm):
  checkpoint = tmp_path / "checkpoint"
  with Cluster("slurm", str(tmp_path / "sweep"), 1, "") as pool:
    events = pool.run([job("wait", checkpoint=str(checkpoint))])
    seen = [next(events)]
    until(checkpoint.exists)
    os.kill(int(checkpoint.read_text()), signal.SIGUSR2)
    seen += events
  assert ends(seen) == {"wait": ("finished", "")}


def test_a_sweep_that_lost_its_own_process_joins_the_jobs_it_left_in_slurm(tmp_path, job, slurm):
  end = tmp_path / "end"
  jobs = [job("wait", checkpoint=str(tmp_path / "checkpoint"), until_there=str(end))]
  with Cluster("slurm", str(tmp_path / "sweep"), 1, "") as lost:
    next(lost.run(jobs))
  until((tmp_path / "checkpoint").exists)
  assert cluster.live_runs(str(tmp_path / "sweep"))["wait"].runs == ("wait",)
  new = job("new", "work")
  runs = [{"name": "wait"}, {"name": "new"}]
  both = Job("both", "cluster_jobs:beside", {"runs": runs}, new.log, (jobs[0], new))
  with Cluster("slurm", str(tmp_path / "sweep"), 1, "") as pool:
    events = pool.run([both])
    seen = [next(events)]  # it has joined by now
    end.touch()
    seen += events
  assert ends(seen) == {"wait": ("finished", ""), "new": ("finished", "")}
  assert len(list(slurm.glob("*.state"))) == 2  # each was submitted once
  until(lambda: cluster.live_runs(str(tmp_path / "sweep")) == {})


def test_a_program_is_joined_by_those_of_its_runs_that_are_left(tmp_path, job, slurm):
  runs = [job(name, "work") for name in "abc"]
  end = tmp_path / "end"
  fields = {"names": "abc", "until_there": str(end)}
  both = Job("a and 2 more", "cluster_jobs:together", fields, runs[0].log, tuple(runs))
  with Cluster("slurm", str(tmp_path / "sweep"), 1, "") as lost:
    next(lost.run([both]))
  with Cluster("slurm", str(tmp_path / "sweep"), 1, "") as pool:
    coming = pool.run([runs[1]])  # the others finished meanwhile
    events = [next(coming)]
    end.touch()
    events += coming
  news = programs.News()
  found = [event for told in map(news.of_runs, events) for event in told]
  assert ends(found) == {"b": ("finished", "")}
  assert len(list(slurm.glob("*.state"))) == 1


def test_a_run_is_not_refused_for_the_job_that_trains_it_on_this_host(tmp_path, slurm, monkeypatch):
  (tmp_path / "two.py").write_text(
    "get_sweep = lambda: [{'config': 'configs/sft.py', 'seed': seed} for seed in (0, 1)]"
  )
  out = str(tmp_path / "sweep")
  make_plan = partial(plan.make, f"{tmp_path}/two.py", {}, out)
  monkeypatch.setattr(launchers, "WORKERS_END", 0)
  live, other = make_plan().runs
  live.folder.create(live.config, digest=live.digest, config_file=live.config_file)
  live.folder.mark("running")  # by this process
  with pytest.raises(UserError, match="is being trained by process"):
    launchers.plan_when_free("slurm", make_plan)
  about = {"runs": [live.name], "is_program": False}
  files.write_json(f"{out}/cluster/jobs.json", {"counterpoint-1": [about]})
  (slurm / "1000.sh").write_text("#SBATCH --job-name=counterpoint-1")
  (slurm / "1000.state").write_text("RUNNING")
  found = launchers.plan_when_free("slurm", make_plan)
  assert [
    run.name
    for run in sweep._to_do(found.runs, types.SimpleNamespace(retry=False, from_earlier=False))
  ] == [
    live.name,
    other.name,
  ]
  assert list(cluster.live_runs(found.folder)) == [live.name]


def test_what_squeue_cannot_tell_is_not_taken_for_no(tmp_path, job, slurm):
  assert ends(run(tmp_path, [job("work")], "slurm")) == {"work": ("finished", "")}
  (slurm / "refuse-squeue").write_text("slurm_load_jobs error: Unable to contact slurm controller")
  with pytest.raises(UserError, match="Unable to contact slurm controller"):
    run(tmp_path, [job("work")], "slurm")
  assert len(list(slurm.glob("*.state"))) == 1


def test_jobs_that_sbatch_took_are_known_though_the_sweep_was_killed(tmp_path, job, slurm):
  class Killed(BaseException):
    pass

  jobs = [job("wait", checkpoint=str(tmp_path / "checkpoint")), job("work")]
  pool = Cluster("slurm", str(tmp_path / "sweep"), 1, "")
  executor, submit = pool._executor, pool._executor.batch

  @contextlib.contextmanager
  def batch():
    with submit():
      yield
    raise Killed

  executor.batch = batch
  with pytest.raises(Killed):
    list(pool.run(jobs))
  live = cluster.live_runs(str(tmp_path / "sweep"))["wait"]
  assert live.number == "1000_0" and live.index == 0
  subprocess.run(["scancel", live.number], check=True)


def test_jobs_that_are_submitted_while_it_stops_are_cancelled(tmp_path, job, slurm):
  pool = Cluster("slurm", str(tmp_path / "sweep"), 1, "")
  submit = pool._submit

  def stopped_meanwhile(jobs):
    pool.stop()
    submit(jobs)

  pool._submit = stopped_meanwhile
  events = list(pool.run([job("wait", checkpoint=str(tmp_path / "checkpoint"))]))
  assert ends(events) == {"wait": ("stopped", "cancelled")}


def test_what_sbatch_refuses_is_a_line(tmp_path, job, slurm):
  (slurm / "refuse-sbatch").write_text("sbatch: error: invalid partition specified: gpu")
  with pytest.raises(UserError, match="SLURM took no jobs: .*invalid partition"):
    run(tmp_path, [job("work")], "slurm", resources="slurm_partition=gpu")


@pytest.mark.parametrize(
  ("launcher", "resources", "message"),
  [
    ("slurm", "", "srun"),
    ("submitit-local", "gpus=1", "--resources=gpus=1: Parameter 'gpus' need to be prefixed"),
    ("submitit-local", "timeout_min=long", 'Parameter "timeout_min" expected type'),
    ("submitit-local", "now", "'now' is not name=value"),
  ],
)
def test_what_the_cluster_cannot_do_is_a_line(tmp_path, launcher, resources, message):
  with pytest.raises(UserError, match="--") as caught:
    Cluster(launcher, str(tmp_path), 1, resources)
  assert message in str(caught.value)


def test_without_submitit_it_says_what_to_install(tmp_path):
  code = (
    "import sys; sys.modules['submitit'] = None; import importlib.util as u;"
    "find = u.find_spec; u.find_spec = lambda n: None if n == 'submitit' else find(n);"
    "from experiments.sweeping.cluster import Cluster; Cluster('slurm', '.', 1, '')"
  )
  done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
  assert 'pip install -e ".[cluster]"' in done.stderr


def test_importing_the_launchers_does_not_import_submitit():
  code = "import sys, experiments.sweeping.cluster; sys.exit('submitit' in sys.modules)"
  assert subprocess.run([sys.executable, "-c", code]).returncode == 0
  assert cluster.LAUNCHERS[0] == "slurm"
