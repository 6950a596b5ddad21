"""Texts of others on a terminal: printed as they stand, neither markup nor obeyed."""

import os

import pytest
from rich.console import Console

from claims import page as page_of_claims
from claims import results, table
from experiments import claims, report, sweep, train
from experiments.sweeping import live_table
from experiments.sweeping.live_table import JobStatus, LiveTable
from tests.comparing import fake_sweep
from tests.experiments import commands
from tests.training.small_configs import SMALL_MODEL
from training.records import run_names

HOSTILE = "a[/b] [/INST] [bold]x[/] \x1b[2J\x07\u202e\r\x9b1m"
SHOWN = r"a[/b] [/INST] [bold]x[/] \x1b[2J\x07\u202e\r\x9b1m"
SMALL = SMALL_MODEL | {"steps": 2, "batch_prompts": 4, "group_size": 2, "base.steps": 0}
SMALL |= {"task.train_prompts": 16, "task.eval_prompts": 4, "wandb.mode": "disabled"}
SMALL |= {"eval.every": 2, "checkpoint.every": 2, "eval.samples": 1}
WORDS = [f"--config.{name}={value}" for name, value in SMALL.items()]
MINE = f"""
HOSTILE = {HOSTILE!r}


def angry(completion):
  raise ValueError(HOSTILE)

"""


def one_line(text):
  """Without the breaks of a narrow terminal."""
  return " ".join(text.split())


def check(text):
  """The text stands there, and nothing that a terminal obeys."""
  assert one_line(SHOWN) in one_line(text)
  assert not set("\x1b\x07\u202e\x9b") & set(text)


@pytest.fixture
def place(tmp_path):
  (tmp_path / "mine.py").write_text(MINE)
  return tmp_path


def test_the_exception_of_a_reward_is_a_warning(place):
  words = ["--config=configs/grpo.py", *WORDS, "--config.task.reward=mine:angry", "--out=run"]
  done = commands.run(train.main, *words, place=place)
  assert done.returncode == 0, done.stderr
  check(done.stdout)


def test_an_error_shows_what_was_typed(place):
  words = ["--config=configs/grpo.py", f"--config.algorithm.loss={HOSTILE}"]
  done = commands.run(train.main, *words, place=place)
  assert done.returncode == 2
  check(done.stderr)


def test_a_variant_may_have_any_name(place):
  (place / "many.py").write_text(
    f"def get_sweep():\n  fields = {SMALL!r}\n"
    f"  return [fields | {{'config': 'configs/grpo.py', 'name': {HOSTILE!r}, 'seed': s}} "
    "for s in range(2)]\n"
  )
  plan = commands.run(sweep.main, "--config=many.py", "--dry_run", place=place)
  assert plan.returncode == 0, plan.stderr
  assert not set("\x1b\x07\u202e\x9b") & set(plan.stdout)
  done = commands.run(sweep.main, "--config=many.py", place=place)
  assert done.returncode == 0, done.stderr
  check(done.stdout)
  assert commands.run(report.main, "runs/many", place=place).returncode == 0


def test_the_live_table_draws_any_name(tmp_path, monkeypatch):
  console = Console(force_terminal=True, width=120, record=True, file=open(os.devnull, "w"))
  table = LiveTable(HOSTILE, [JobStatus(HOSTILE, "running")], 1, console)
  console.print(table.draw())
  check(console.export_text())
  assert SHOWN in live_table._line(JobStatus("x"), SHOWN)


def test_a_failed_run_says_why_in_the_comparison(tmp_path, capsys):
  folder = fake_sweep.write(str(tmp_path / "sweep"))
  from comparing import terminal_table

  names = sorted(os.listdir(folder))
  path = next(os.path.join(folder, name) for name in names if "grpo" in name)
  from training.records.run_folder import RunFolder

  RunFolder(path).write_status("failed", step=1, steps=8, metrics={}, reason=HOSTILE)
  terminal_table.print_table(folder)
  check(capsys.readouterr().out)


def test_a_failed_claim_says_why_on_the_terminal_and_on_its_page(tmp_path, capsys):
  error = ValueError(f"</script><b>{HOSTILE}\0")
  result = results.failed(table.CLAIMS[0], error, 1.0, str(tmp_path))
  claims._print_table([result], Console(width=300))
  check(capsys.readouterr().out)
  page = page_of_claims.render([result])
  assert "</script><b>" not in page and "&lt;/script&gt;&lt;b&gt;" in page


def test_names_of_files_are_short_enough_and_stay_apart():
  long = [run_names.file_name("é" * 300 + end) for end in "ab"]
  assert long[0] != long[1] and all(len(name.encode()) <= run_names.LONGEST for name in long)
  assert run_names.file_name("a[/b]\n\x1b") == "a_b_"
  assert run_names.file_name("..") not in ("..", ".") and run_names.file_name("../x") == ".._x"
