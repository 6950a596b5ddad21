import subprocess
import sys

import pytest

from experiments.command_line import cli
from tests.experiments import commands
from training.errors import UserError

FLAGS = {"dry_run": (False, "run nothing"), "jobs": (1, "at a time"), "out": ("", "the folder")}
COMMAND = """
import gc
import sys
import time
from experiments.command_line import cli
from training.checking import config_files, validate
from training.errors import Diverged

def main(argv):
  args = cli.parse(argv, "Trains one policy.", {"out": ("", "the folder")})
  validate.check(config_files.load(args.config, args.overrides))
  if args.out == "diverge":
    raise Diverged("train/loss is nan at step 37")
  if args.out == "interrupt":
    raise KeyboardInterrupt
  if args.out == "interrupt a callback":  # as of jax, at a garbage collection
    def interrupt(phase, info):
      gc.callbacks.remove(interrupt)
      raise KeyboardInterrupt
    gc.callbacks.append(interrupt)
    gc.collect()
    time.sleep(20)
  if args.out == "full":
    with open("/dev/full", "w") as disk:
      disk.write("x")
  sys.exit(1 if "jax" in sys.modules else 0)

cli.run(main)
"""


def parse(*words: str, **options):
  return cli.parse(words, "Trains one policy.", FLAGS, **options)


def problem(*words: str) -> str:
  with pytest.raises(UserError) as error:
    parse(*words)
  return str(error.value)


def run(*words: str) -> subprocess.CompletedProcess:
  return subprocess.run([sys.executable, "-c", COMMAND, *words], capture_output=True, text=True)


def test_flags_and_overrides_in_any_order_and_both_spellings():
  args = parse("--config.steps=7", "--config", "configs/dpo.py", "--jobs", "2", "--dry-run")
  assert (args.config, args.overrides) == ("configs/dpo.py", {"steps": "7"})
  assert (args.jobs, args.dry_run, args.out) == (2, True, "")


def test_switches_can_be_turned_on_and_off():
  args = parse(
    "--config=x", "--config.model.tied", "--noconfig.model.qk_norm", "--nodry_run", "--out=a=b"
  )
  assert args.overrides == {"model.tied": True, "model.qk_norm": False}
  assert (args.dry_run, args.out) == (False, "a=b")


def test_a_value_may_be_negative():
  assert parse("--config=x", "--config.seed", "-1").overrides == {"seed": "-1"}


def test_a_command_without_configs_refuses_one():
  assert parse("--jobs=2", configs=None).jobs == 2
  with pytest.raises(UserError, match="'--config=x' is not a flag"):
    parse("--config=x", configs=None)


@pytest.mark.parametrize(
  "word, message",
  [
    ("config.steps=7", "'config.steps=7' is not a flag. Did you mean --config.steps=7?"),
    ("steps=7", "Did you mean --config.steps=7 or --config.base.steps=7 or"),
    ("--lr=1e-3", "not a flag. Did you mean --config.optimizer.learning_rate=1e-3?"),
    ("--beta=0.2", "'--beta=0.2' is not a flag. Did you mean --config.algorithm.beta=0.2?"),
    ("-config.steps=7", "Did you mean --config.steps=7?"),
    ("configs/grpo.py:k=2", "Did you mean --config=configs/grpo.py:k=2?"),
    ("--dryrun", "'--dryrun' is not a flag. Did you mean --dry_run?"),
    ("jobs=3", "Did you mean --jobs=3?"),
    ("nonsense", "'nonsense' is not a flag. (see --help)"),
    ("--jobs=two", "--jobs is int (default 1); 'two' is not."),
    ("--jobs", "--jobs needs a value"),
  ],
)
def test_a_stray_word_is_an_error_that_says_what_to_type(word, message):
  assert message in problem("--config=configs/dpo.py", word)


@pytest.mark.parametrize("words", [(), ("--config",), ("--config.steps=2",)])
def test_the_config_is_required(words):
  expected = "--config is required, e.g. --config=configs/dpo.py (see --help)"
  assert problem(*words) == expected


def test_help_lists_the_flags_and_the_configs(capsys):
  with pytest.raises(SystemExit) as end:
    parse("--help")
  text = capsys.readouterr().out
  assert end.value.code == 0
  assert "Trains one policy." in text and "--jobs=1" in text
  assert "configs/grpo.py " in text and "GRPO, on-policy" in text
  assert "common" not in text


def test_help_with_a_config_lists_its_fields(capsys):
  with pytest.raises(SystemExit):
    parse("--config=configs/grpo.py:k=4", "--config.steps=7", "--help")
  rows = [line.split(maxsplit=3) for line in capsys.readouterr().out.splitlines()]
  assert ["--config.group_size", "int", "4", "K: responses to each prompt"] in rows
  assert ["--config.steps", "int", "7"] in [row[:3] for row in rows]
  beta = next(row for row in rows if row[:1] == ["--config.algorithm.beta"])
  assert "strength of the KL" in beta[3]  # from the docstring of the loss


@pytest.mark.parametrize(
  "words, code, message",
  [
    (["--config=configs/dppo.py"], 2, "error: no config file"),
    (["--config=configs/dpo.py", "--out=diverge"], 3, "error: train/loss is nan at step 37\n"),
    (["--config=configs/dpo.py", "--out=interrupt"], 130, ""),
    (["--config=configs/dpo.py", "--out=interrupt a callback"], 130, ""),
    (
      ["--config=configs/dpo.py", "--out=full"],
      2,
      "error: No space left on device. Make room there",
    ),
    (["--config=configs/dpo.py"], 0, ""),
  ],
)
def test_a_command_ends_with_the_right_code_and_no_traceback(words, code, message):
  done = run(*words)
  assert done.returncode == code
  assert done.stderr.startswith(message) and "Traceback" not in done.stderr


def test_the_lines_after_the_first_are_indented():
  first, *rest = run("--config=configs/dpo.py", "--config.beta=1").stderr.splitlines()
  assert first.startswith("error: configs/dpo.py has no field 'beta'.")
  assert rest and all(line.startswith("       ") for line in rest)


def test_errors_come_within_half_a_second():
  words = ["--config=configs/grpo.py:k=1", "--config.task.name=chain_sun"]

  def refused():
    assert run(*words).returncode == 2

  assert commands.quickest(refused) < 0.5


def test_a_flag_of_certain_words_may_stand_alone():
  flags = {"dry_run": (cli.OneOf(("", "plan", "commands")), "run nothing")}
  words = [(), ("--dry_run",), ("--dry_run=commands",)]
  given = [cli.parse(["--config=x", *word], "Doc.", flags).dry_run for word in words]
  assert given == ["", "plan", "commands"]
  with pytest.raises(UserError, match="--dry_run is one of plan, commands; 'all' is not"):
    cli.parse(["--config=x", "--dry_run=all"], "Doc.", flags)


def test_a_reader_that_has_seen_enough_is_no_error():
  words = (
    f"{sys.executable} -m experiments.sweep --config=configs/sweeps/beta.py --dry_run=commands"
  )
  done = subprocess.run(f"{words} | head -1", shell=True, capture_output=True, text=True)
  assert done.stderr == "" and done.stdout.startswith("python -m experiments.train")
