"""The command line of every command: `--config=FILE[:ARG]`, `--config.dotted.field=value`, flags.

Where a command sweeps, `--sweep.dotted.field=value,value` gives a field several values.

A command is

  def main(argv):
    args = cli.parse(argv, __doc__, {"dry_run": (False, "print the config and stop")})
    config = config_files.load(args.config, args.overrides)

  if __name__ == "__main__":
    cli.run(main)

Nothing here imports jax: what is wrong with a command line is said at once.
"""

import argparse
import collections
import os
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

from configs import common, config_values
from experiments.command_line import cli_help, endings
from tasks.slips import did_you_mean, nearest
from tasks.visible_text import visible
from training import interrupts
from training.checking import config_files, config_modules, field_names
from training.errors import Diverged, UserError
from training.records import compiled_programs, full_disk

Flags = Mapping[str, tuple[Any, str]]  # name -> (default, which gives the type, or OneOf; help)
Given = dict[str, Any]  # {"config": spec, "config.steps": "7", "help": True, flag: text}
SWEEP, TUNE = "sweep.", "tune."  # before a field that is given several values, or a domain


class OneOf(tuple[str, ...]):
  """The words that a flag takes. Without the flag it is the first; --flag alone is the second."""


class Words(tuple[str, ...]):
  """Of a flag that may be given several times, and that words without a flag belong to."""


def run(main: Callable[[Sequence[str]], int | None]) -> NoReturn:
  """Calls main(arguments) and exits with its code, or with the code of what it raised."""
  try:
    interrupts.repeat_lost()
    compiled_programs.mend()
    sys.exit(main(sys.argv[1:]))
  except (UserError, Diverged) as error:
    print("error: " + visible(str(error)).replace("\n", "\n       "), file=sys.stderr)
    sys.exit(3 if isinstance(error, Diverged) else 2)
  except BrokenPipeError:  # the reader of the output, such as `head`, has ended
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(0)
  except Exception as error:
    if not (said := full_disk.said(error)):
      raise
    print(f"error: {visible(said)}", file=sys.stderr)
    sys.exit(2)
  except KeyboardInterrupt:
    endings.no_more()  # a second ^C would only break off what Python does at its end
    sys.exit(130)


def parse(
  argv: Sequence[str],
  doc: str,
  flags: Flags,
  *,
  configs: str | None = "configs",
  needs_config: bool = True,
  sweeps: bool = False,
  tunes: bool = False,
  of_runs: bool = False,
) -> types.SimpleNamespace:
  """Returns `.config` (the spec), `.overrides` (dotted field -> text) and every flag.

  A lone --config.field overrides with True and --noconfig.field with False, and so do --flag and
  --noflag. --help prints `doc`, the flags and the config files, or all fields of a given --config,
  and exits.

  Args:
    configs: the folder whose files --config chooses from; None if the command takes no config.
    needs_config: whether it must be given one.
    of_runs: whether it takes --config.FIELD=VALUE all the same, for the configs that runs have.
    sweeps: whether it takes --sweep.FIELD=VALUE,VALUE, which `.swept` has as field -> texts.
    tunes: whether it takes --tune.FIELD=DOMAIN, which `.tune` has as field -> text.
  Raises:
    UserError: naming every argument that is no flag, or whose value is of another type.
  """
  wanted = {"config.": configs or of_runs, SWEEP: sweeps, TUNE: tunes}
  prefixes = tuple(prefix for prefix, is_wanted in wanted.items() if is_wanted)
  given, strangers = _read(argv, flags, prefixes, takes_config=configs is not None)
  spec = given.get("config", "")
  overrides, tune = _fields(given, "config."), _fields(given, TUNE)
  if "help" in given:
    print(
      cli_help.fields(spec, overrides) if spec else cli_help.overview(doc, flags, configs, sweeps)
    )
    sys.exit(0)
  values, problems, swept = {}, [], {}
  for field, text in _fields(given, SWEEP).items():
    swept[field] = [part for part in str(text).split(",") if part.strip()]
    if text is True or not swept[field]:
      problems.append(f"--{SWEEP}{field} needs values after a `=`: --{SWEEP}{field}=1,2")
    if field in overrides:
      problems.append(f"--{SWEEP}{field} and --config.{field}: give one of them")
  for name, (default, _) in flags.items():
    try:
      values[name] = _value(given.get(name), default)
    except ValueError as error:
      problems.append(f"--{name} {error}")
  problems += [_stranger(word, flags, configs, spec) for word in strangers]
  if configs and needs_config and not spec:
    example = min(config_modules.available(configs), key=len, default="FILE")
    problems.append(f"--config is required, e.g. --config={example} (see --help)")
  if problems:
    raise UserError("\n".join(problems))
  found = {"overrides": overrides, "swept": swept, "tune": tune}
  return types.SimpleNamespace(config=spec, **found, **values)


def positional(command: str, doc: str | None) -> argparse.ArgumentParser:
  """Makes the parser of a command on folders, such as `python -m experiments.export FOLDER`."""
  return argparse.ArgumentParser(
    f"python -m experiments.{command}",
    description=doc,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )


def _fields(given: Given, prefix: str) -> Given:
  """{"steps": "7"} of what was given as --config.steps=7, for one of the prefixes."""
  return {key.removeprefix(prefix): v for key, v in given.items() if key.startswith(prefix)}


def _read(
  argv: Sequence[str], flags: Flags, prefixes: tuple[str, ...], takes_config: bool
) -> tuple[Given, list[str]]:
  """Returns the text given to each flag, and the words that are no flag.

  `prefixes` are of the names that stand for fields: "config.".
  """
  given: Given = {}
  strangers: list[str] = []
  many = next((name for name, (default, _) in flags.items() if isinstance(default, Words)), "")
  words = collections.deque(argv)
  while words:
    word = words.popleft()
    name, equals, text = word.removeprefix("--").partition("=")
    off = name.removeprefix("no") if name.startswith("no") and not equals else ""
    if word in ("-h", "--help"):
      given["help"] = True
    elif many and not word.startswith("-"):
      given.setdefault(many, []).append(word)
    elif not word.startswith("--"):
      strangers.append(word)
    elif takes_config and name == "config":
      given[name] = text if equals else _next(words, "")
    elif name.startswith(prefixes):
      given[name] = text if equals else _next(words, True)
    elif off.startswith("config.") and "config." in prefixes:
      given[off] = False
    elif (flag := name.replace("-", "_")) in flags and flag == many:
      given.setdefault(many, []).append(text if equals else _next(words, ""))
    elif flag in flags:
      is_switch = isinstance(flags[flag][0], (bool, OneOf))
      given[flag] = text if equals else True if is_switch else _next(words, True)
    elif (flag := off.replace("-", "_")) in flags and isinstance(flags[flag][0], bool):
      given[flag] = False
    else:
      strangers.append(word)
  return given, strangers


def _value(given: Any, default: Any) -> Any:
  """Returns a flag's value; `given` is None without the flag. ValueError if it does not fit."""
  if given is None:
    return default[0] if isinstance(default, OneOf) else default
  if isinstance(default, Words):
    return Words(given)
  if not isinstance(default, OneOf):
    return config_values.convert(given, type(default), default)
  word = default[1] if given is True else given
  if word not in default[1:]:
    raise ValueError(f"is one of {', '.join(default[1:])}; {word!r} is not.")
  return word


def _next(words: collections.deque[str], missing: Any) -> Any:
  """Returns the value of `--name value`: the next word, unless that is a flag itself."""
  return words.popleft() if words and not words[0].startswith("--") else missing


def _stranger(word: str, flags: Flags, configs: str | None, spec: str) -> str:
  """'config.steps=7' is not a flag. Did you mean --config.steps=7?"""
  name, equals, text = word.lstrip("-").partition("=")
  value = equals + text
  flag = name.replace("-", "_")
  if flag in flags:
    hints = [f"--{flag}{value}"]
  elif not configs:
    hints = [f"--{near}{value}" for near in nearest(flag, flags)]
  elif name == "config" or name.startswith("config."):
    hints = [f"--{name}{value}"]
  elif name.partition(":")[0].endswith(".py"):
    hints = [f"--config={word.lstrip('-')}"]
  else:
    known = _field_names(spec)
    same_name = [f for f in known if name in (f, f.rpartition(".")[2])]
    fields = sorted(same_name, key=len)  # `steps` before `base.steps`
    fields = fields or field_names.elsewhere(name, known)
    near = [f"--{flag}{value}" for flag in nearest(flag, ["config", *flags])]
    hints = [f"--config.{field}{value}" for field in fields] or near
  return f"{word!r} is not a flag.{did_you_mean(hints) or ' (see --help)'}"


def _field_names(spec: str) -> Iterable[str]:
  try:
    return config_values.fields(config_files.load(spec, {}))
  except UserError:  # no such config, or a sweep
    return config_values.fields(common.defaults(""))
