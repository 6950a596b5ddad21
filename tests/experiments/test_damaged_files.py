"""Files that a disk, or a hand, has damaged: each is named in a line, and nothing is guessed."""

import os
import pathlib
import shutil

import pytest

from comparing import runs, tuning
from experiments import report, show, sweep, train
from experiments.tuning import results
from rounds.deployment import Deployment
from serving.feedback import FeedbackRows
from serving.lines import append_line
from serving.state import State
from tasks.datasets import row_cache
from tasks.rows.row import Problem
from tests.comparing import fake_sweep
from tests.experiments import commands
from training.errors import UserError
from training.records.files import write_json
from training.records.run_folder import RunFolder


def as_a_folder(file):
  file.unlink()
  file.mkdir()


def with_number(file):
  file.write_text('{"step": ' + "9" * 5000 + "}\n")


DAMAGES = {
  "empty": lambda file: file.write_bytes(b""),
  "NULs": lambda file: file.write_bytes(b"\0" * 64 + b"\n"),
  "half": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2] + b"\n"),
  "a folder": as_a_folder,
  "a huge number": with_number,
  "no UTF-8": lambda file: file.write_bytes(b'{"\xff\xfe": 1}\n'),
  "nested": lambda file: file.write_bytes(b"[" * 100_000 + b"\n"),
  "a list": lambda file: file.write_bytes(b"[1]\n"),
  "other keys": lambda file: file.write_bytes(b'{"config": 3, "x": 1}\n'),
}
LINES = {name: damage for name, damage in DAMAGES.items() if name not in ("empty", "a folder")}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  return fake_sweep.write(str(tmp_path_factory.mktemp("runs") / "sweep"))


@pytest.fixture
def place(finished, tmp_path):
  """A folder with a sweep of finished runs in runs/sweep."""
  shutil.copytree(finished, tmp_path / "runs" / "sweep")
  return tmp_path


def a_run(place):
  path = place / "runs" / "sweep"
  return next(one for one in sorted(path.iterdir()) if (one / "metrics.jsonl").exists())


def check_said(done, name):
  assert done.returncode == 2, done.stdout + done.stderr
  assert name in done.stderr and "Traceback" not in done.stderr
  assert len(done.stderr.splitlines()) <= 2


@pytest.mark.parametrize("name", ["config.json", "status.json"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_every_reader_of_a_run_names_its_damaged_file(place, damage, name):
  run = a_run(place)
  before = (run / "metrics.jsonl").read_bytes()
  DAMAGES[damage](run / name)
  words = ["--config=configs/grpo.py", f"--out={run}", "--config.base.steps=0"]
  check_said(commands.run(report.main, "runs/sweep", place=place), name)
  check_said(commands.run(train.main, *words, place=place), name)
  if name == "config.json":
    check_said(commands.run(show.main, str(run), place=place), name)
  assert (run / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_plan_of_a_sweep_is_named(place, damage):
  path = place / "runs" / "sweep" / "sweep.json"
  DAMAGES[damage](path)
  check_said(commands.run(report.main, "runs/sweep", place=place), "sweep.json")
  words = ["--config=configs/grpo.py", "--seeds=1", "--config.base.steps=0", "--out=runs/sweep"]
  if damage not in ("a list", "other keys"):  # nothing of these two is taken over
    check_said(commands.run(sweep.main, *words, place=place), "sweep.json")


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
  "name", ["metrics.jsonl", "completions.jsonl", "prompts.jsonl", "env.json", "command.txt"]
)
def test_damaged_rows_are_left_out_or_named(place, damage, name):
  """The page is made without them, or the file is named."""
  path = a_run(place) / name
  if not path.exists():
    path.write_text('{"step": 0}\n')
  DAMAGES[damage](path)
  done = commands.run(report.main, "runs/sweep", place=place)
  if done.returncode:
    check_said(done, name)
  else:
    assert os.path.exists(place / "runs" / "sweep" / "report.html")


ROUND = {
  "verdict.json": {"deployed": True, "reason": "better"},
  "evaluation.json": {"deployed": {}, "candidate": {}, "staleness": {}},
}


@pytest.mark.parametrize("name", ROUND)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_of_a_round_is_named(tmp_path, damage, name):
  one = Deployment(str(tmp_path)).round(1)
  for file, found in ROUND.items():
    one.write(file, found)
  assert (one.verdict, one.evaluation) == tuple(ROUND.values())
  DAMAGES[damage](pathlib.Path(one.path) / name)
  with pytest.raises(UserError, match=name):
    getattr(one, name.partition(".")[0])


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_results_of_a_tune_are_named(tmp_path, damage):
  path = tmp_path / tuning.FILE
  write_json(str(path), {"variants": {}, "seeds": [], "sweep": "x", "score": "y"})
  DAMAGES[damage](path)
  with pytest.raises(UserError, match="best.json|no results of experiments.tune"):
    results.read(str(tmp_path))
  with pytest.raises(UserError, match="best.json"):
    tuning.of([str(tmp_path)])


@pytest.mark.parametrize("damage", [*LINES, "a folder"])
def test_a_line_of_feedback_that_is_none_is_named_and_nothing_is_dropped(tmp_path, damage):
  path, state = tmp_path / "service.jsonl", State(str(tmp_path / "state.sqlite"))
  append_line(str(path), {"id": "a", "said": [1.0, 0.0]})
  whole = path.read_bytes()
  DAMAGES[damage](path)
  if path.is_file():
    path.write_bytes(path.read_bytes() + whole)
  before = path.is_file() and path.read_bytes()
  with pytest.raises(
    UserError, match="service.jsonl.*(line 1 is damaged: .*move it away|cannot be read)"
  ):
    FeedbackRows(str(tmp_path), state)
  assert (path.is_file() and path.read_bytes()) == before


@pytest.mark.parametrize("damage", [*DAMAGES, "gone"])
@pytest.mark.parametrize("name", ["rows.jsonl", "arrays.npz", "about.json"])
def test_a_damaged_cache_of_rows_is_made_anew(tmp_path, monkeypatch, damage, name):
  monkeypatch.setattr(row_cache, "LARGE", 0)
  file = tmp_path / "pairs.jsonl"
  file.write_text('{"prompt": "1+1=", "chosen": "2", "rejected": "3"}\n' * 3)

  def rows():
    tables, _ = row_cache.tables(str(file), "v1", str(tmp_path / "data"))
    return {split: list(table.rows) for split, table in tables.items()}

  made = rows()
  (path,) = (tmp_path / "data").rglob(name)
  path.unlink() if damage == "gone" else DAMAGES[damage](path)
  assert rows() == made and len(made["train"]) == 3


@pytest.mark.parametrize("damage", [name for name in DAMAGES if name != "a folder"])
def test_damaged_problems_of_rows_are_computed_anew(tmp_path, damage):
  found = [(1, Problem("here", "wrong"))]
  assert row_cache.remembered(str(tmp_path), "k", lambda: found) == found
  (path,) = tmp_path.iterdir()
  DAMAGES[damage](path)
  assert row_cache.remembered(str(tmp_path), "k", lambda: found) == found


def test_a_run_that_cannot_be_read_is_no_new_one(tmp_path):
  """Of an empty config.json nobody knows which run it was."""
  folder = RunFolder(str(tmp_path / "run"))
  folder.create({"seed": 0}, digest="aa", config_file="configs/dpo.py")
  (tmp_path / "run" / "config.json").write_bytes(b"")
  with pytest.raises(UserError, match="config.json is damaged"):
    folder.state("aa")
  with pytest.raises(UserError, match="config.json is damaged"):
    runs.read_run_set(folder.path)
