"""One row of real data: a prompt with K scored responses, or a prompt with its answer."""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence

Conversation = tuple[tuple[str, str], ...]  # (role, content) of each message
Prompt = str | Conversation  # a str is a single message of a user


@dataclasses.dataclass(frozen=True)
class Row:
  """A group of K responses; K = 0 for a prompt that only has an answer.

  A preference pair is two responses with scores (1, 0), the better one first; a single response is
  good (1) or not (0).
  """

  prompt: Prompt
  responses: tuple[str, ...] = ()
  scores: tuple[float | None, ...] = ()  # None: unscored
  # Log-probs under the policy that wrote the responses, in nats: one a token, the end's included.
  logps: tuple[tuple[float, ...], ...] | None = None
  answer: str = ""
  where: str = ""  # "file.jsonl row 12"
  implicit: bool = False  # the prompt is the text that the responses begin with alike
  unread: tuple[str, ...] = dataclasses.field(default=(), compare=False)  # its other keys


@dataclasses.dataclass(frozen=True)
class Problem:
  """A fault of a row. `where` says of which: "file.jsonl row 12"."""

  where: str
  what: str

  def __str__(self) -> str:
    return f"{self.where}: {self.what}"


class BadRows(ValueError):
  """Rows that cannot be used: a line for each kind of problem, up to a limit."""

  SHOWN = 20

  def __init__(self, problems: Sequence[Problem], good: int | None = None):
    """`good`: how many rows there are besides, if that is known."""
    self.problems = tuple(problems)
    kinds: dict[str, list[Problem]] = {}
    for problem in problems:
      kinds.setdefault(_NUMBERS.sub("#", problem.what), []).append(problem)
    rows = len({problem.where for problem in problems}) + good if good is not None else None
    lines = [_line(of_kind, rows) for of_kind in list(kinds.values())[: self.SHOWN]]
    if len(kinds) > self.SHOWN:
      left = sum(map(len, list(kinds.values())[self.SHOWN :]))
      lines.append(f"... and {left:,} more problems")
    super().__init__("\n".join(lines))


_NUMBERS = re.compile(r"\d[\d,]*|\(in .*")  # in which problems of one kind differ


def _line(problems: Sequence[Problem], rows: int | None) -> str:
  """The first of the problems of one kind, and in how many of the rows it is."""
  first = problems[0]
  found = len({problem.where for problem in problems})
  if found == 1:
    return str(first)
  if found == rows:
    return f"all {rows:,} rows: {first.what}"
  of = f" of {rows:,}" if rows is not None else ""
  return f"{found:,}{of} rows (first: {first.where}): {first.what}"


def prompt_of(messages: Iterable[Mapping[str, str]]) -> Prompt:
  """The prompt that these messages are; a single user's message is its text."""
  conversation = tuple((message["role"], message["content"]) for message in messages)
  if len(conversation) == 1 and conversation[0][0] == "user":
    return conversation[0][1]
  return conversation


def messages_of(prompt: Prompt) -> list[dict[str, str]]:
  """The prompt as messages {"role", "content"}; a text is a user's."""
  conversation = (("user", prompt),) if isinstance(prompt, str) else prompt
  return [{"role": role, "content": content} for role, content in conversation]


def text_of(prompt: Prompt) -> str:
  """The prompt as one text: to show it, and to tell prompts apart."""
  if isinstance(prompt, str):
    return prompt
  return "\n\n".join(f"{role}: {content}" for role, content in prompt)
