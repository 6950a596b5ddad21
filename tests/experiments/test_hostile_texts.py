"""Texts of others: printed as they stand, neither markup nor obeyed; sent and kept as they are."""

import dataclasses
import json
import os

import pytest
from rich.console import Console

from claims import page as page_of_claims
from claims import results, table
from experiments import claims, evaluate, report, sweep, train
from experiments.sweeping import live_table
from experiments.sweeping.live_table import JobStatus, LiveTable
from rounds import feedback_rows
from serving.feedback import FeedbackRows
from serving.state import State
from tasks.rows.row import messages_of
from tests.comparing import fake_sweep
from tests.experiments import commands
from tests.training import test_wandb_runs
from tests.training.small_configs import SMALL_MODEL
from training.policy import Policy
from training.records import run_names, wandb_runs
from training.records.run_folder import RunFolder

HOSTILE = "a[/b] [/INST] [bold]x[/] \x1b[2J\x07\u202e\r\x9b1m"
SHOWN = r"a[/b] [/INST] [bold]x[/] \x1b[2J\x07\u202e\r\x9b1m"
SMALL = SMALL_MODEL | {"steps": 2, "batch_prompts": 4, "group_size": 2, "base.steps": 0}
SMALL |= {"task.train_prompts": 16, "task.eval_prompts": 4, "wandb.mode": "disabled"}
SMALL |= {"eval.every": 2, "checkpoint.every": 2, "eval.samples": 1}
TEXTS = (HOSTILE, f"</script><!--{HOSTILE}", "a\u2028\u2066\u200bb", "é[/b]" * 2000)
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


# --- completions, people's feedback, W&B --------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  place = tmp_path_factory.mktemp("trained")
  done = commands.run(train.main, "--config=configs/grpo.py", *WORDS, "--out=run", place=place)
  assert done.returncode == 0, done.stderr
  return place


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_completions_that_evaluate_prints(trained, monkeypatch, text):
  evaluated = Policy.evaluate

  def said(policy, samples):
    row = {"prompt": text, "completion": text, "answer": text, "reward": 1.0}
    return dataclasses.replace(evaluated(policy, samples), completions=[row])

  monkeypatch.setattr(Policy, "evaluate", said)
  done = commands.run(evaluate.main, "run", "--samples=1", place=trained)
  assert done.returncode == 0, done.stderr
  assert not set("\x1b\x07\u202e\x9b\r\u2028\u2066\u200b") & set(done.stdout)
  shown = "".join(done.stdout.split())
  escaped = text.encode("unicode_escape").decode() if text == TEXTS[2] else None
  wanted = escaped or text.replace(HOSTILE, SHOWN)
  assert shown.count("".join(wanted.split())) == 3


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_feedback_keeps_texts_as_they_are(tmp_path, text):
  """Which a page shows as text: tests/serving/test_service.py has a browser."""
  folder, state = str(tmp_path / "feedback"), State(str(tmp_path / "state.sqlite"))
  said = {"texts": [text, text[::-1]], "tokens": [[1], [2]], "logps": [[0.0], [0.0]]}
  about = {"messages": [{"role": "user", "content": text}], "finished": [True, True]}
  state.add_answers("c", said | about | {"policy": "p", "temperature": 1.0, "top_p": 1.0})
  FeedbackRows(folder, state).add({"completion": "c", "best": 0})
  (row,) = feedback_rows.take(folder, {}, 1, set()).rows
  assert row.responses == (text, text[::-1]) and row.scores == (1.0, 0.0)
  assert messages_of(row.prompt)[-1]["content"] == text
  assert FeedbackRows(folder, state).count == 1


def test_wandb_takes_any_name_and_any_text(tmp_path):
  """Its ids, and the names of its tables, have neither all characters nor all lengths."""
  for number, (name, text) in enumerate(
    zip(("lr:1e-4#?", "n" * 200, "[b]", "é"), TEXTS, strict=True)
  ):
    run = RunFolder(str(tmp_path / str(number) / name))
    config = {"algorithm": {"loss": text}, "task": {"name": text}, "model": {}, "source": "online"}
    about = {"variant": text, "sweep": text[:99] if number else "", "command": text}
    run.create(config | {"wandb": {}}, digest="d", config_file="f", **about)
    mirror = wandb_runs.start(run, "offline", ())
    wandb_runs.log(mirror, {"step": 1, f"train/{text}": 1.0})
    row = dict.fromkeys(("prompt", "answer", "completion"), text)
    wandb_runs.log_completions(mirror, [row | {"step": 1, "reward": 1.0}])
    wandb_runs.finish(mirror, {}, 0)
    (path,) = (tmp_path / str(number)).rglob("run-*.wandb")
    records = test_wandb_runs.read_back(str(path))
    said = records["run"][0]
    assert said["config"]["update"]["algorithm"] == {"loss": text} and said["notes"] == text.strip()
    assert said["display_name"] == name[-128:] and len(said["run_group"]) <= 128
    assert json.dumps(f"train/{text}") in json.dumps(test_wandb_runs.history(records))
    (table,) = (tmp_path / str(number)).rglob("completions*.table.json")
    assert json.loads(table.read_text())["data"][0][1:4] == [text] * 3
