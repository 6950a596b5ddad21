"""The pages of the documentation, their fenced blocks, and the commands in them."""

import itertools
import pathlib
import re
import shlex
import textwrap
from typing import NamedTuple

PROJECT = pathlib.Path(__file__).parents[2]
README = "README.md"
RESULTS = PROJECT / "docs" / "results"
DOCS = sorted(f"docs/{path.name}" for path in (PROJECT / "docs").glob("*.md"))
PAGES = (README, "ARCHITECTURE.md", "benchmarks/README.md", *DOCS)
ENDS = ("|", ">", "&&", ";")  # of a command on its line
NO_PYTHON = ("git", "pip", ".venv/bin/pip", "wandb", "./check", ".ci/run")  # first words


class Block(NamedTuple):
  language: str
  text: str


class Command(NamedTuple):
  """`python -m experiments.train --help` on a page: ("experiments.train", ("--help",))."""

  page: str
  module: str
  arguments: tuple[str, ...]

  def __str__(self) -> str:
    return f"{self.page}: {self.module} {' '.join(self.arguments)}"


def text(page: str) -> str:
  return (PROJECT / page).read_text()


def blocks(page: str) -> list[Block]:
  """The fenced blocks; one in a list is moved to the margin."""
  found = re.findall(r"^( *)```(\w*)\n(.*?)^\1```$", text(page), re.M | re.S)
  return [Block(language, textwrap.dedent(inside)) for _, language, inside in found]


def section(page: str, title: str) -> str:
  """What is below a heading, up to the next of its level."""
  level, _, _ = title.partition(" ")
  return f"\n{text(page)}".partition(f"\n{title}\n")[2].partition(f"\n{level} ")[0]


def table(markdown: str) -> list[dict[str, str]]:
  """The rows of the first table, by the names of its columns."""
  begun = itertools.dropwhile(lambda line: not line.startswith("|"), markdown.splitlines())
  lines = itertools.takewhile(lambda line: line.startswith("|"), begun)
  header, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
  return [dict(zip(header, row, strict=True)) for row in rows]


def commands(page: str) -> list[Command]:
  """Every call of a Python module, in the bash blocks and in the text."""
  lines = [
    line
    for block in blocks(page)
    if block.language == "bash"
    for line in block.text.replace("\\\n", " ").splitlines()
  ]
  prose = re.sub(r"^( *)```.*?^\1```$", "", text(page), flags=re.M | re.S)
  lines += re.findall(r"`((?:\.venv/bin/)?python (?:-m )?\w[^`]*)`", prose)
  return [Command(page, *found) for line in lines if (found := _called(line))]


def _called(line: str) -> tuple[str, tuple[str, ...]] | None:
  """(module, arguments); None for a comment, or a command of another kind that is known."""
  words = shlex.split(line, comments=True)
  if not words:
    return None
  if words[0] == "./quickstart":
    return "experiments.sweep", ("--config=configs/sweeps/quick.py", *words[1:])
  names = [word.rpartition("/")[2] for word in words]
  if "python" in names:
    words = words[names.index("python") + 1 :]
    end = next((i for i, word in enumerate(words) if word in ENDS), len(words))
    is_file = words[0] != "-m"
    module = words[0].removesuffix(".py").replace("/", ".") if is_file else words[1]
    return module, tuple(words[1 if is_file else 2 : end])
  inside = next((word for word in words if "python -m " in word), None)
  if inside:  # gcloud ... --command='cd there && python -m ...'
    return _called(inside)
  assert words[0] in NO_PYTHON, f"is {line!r} a command? Then add its first word to NO_PYTHON"
  return None
