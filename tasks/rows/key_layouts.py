"""Which key of a row is which of its parts: decided once for all rows that have the same keys."""

import dataclasses
import functools
from collections.abc import Iterator

from tasks.rows import key_table
from tasks.rows.key_table import CONTEXT, LISTED, all_of, hint, keys_of, looks_like_a_prompt
from tasks.rows.row_names import RowNames

_OURS = ("responses", "preferred_response", "chosen")


@dataclasses.dataclass(frozen=True)
class Layout:
  """The keys of the parts of a row, and of what is left."""

  kind: str = "none"  # "pair", "group", "two", "single", "none" (a prompt with an answer)
  responses: tuple[str, ...] = ()  # of the responses: two, or one
  scores: str = ""  # of the scores, the label or the preference
  is_label: bool = False  # `scores` is true or false
  prompts: tuple[str, ...] = ()  # of the prompt: all say the same, the first is taken
  second: str = ""  # of what comes after the prompt, on a line of its own ("input")
  system: tuple[str, ...] = ()
  history: str = ""
  answer: str = ""
  context: tuple[str, ...] = ()  # what would belong to the prompt, and is not read
  prompt_like: tuple[str, ...] = ()  # what may be the prompt of a row that has none
  unread: tuple[str, ...] = ()
  problems: tuple[str, ...] = ()


@functools.lru_cache(maxsize=4096)
def layout_of(keys: tuple[str, ...], names: RowNames) -> Layout:
  """The layout of a row that has these keys (those of nothing aside)."""
  given = names.given()
  problems = [
    f"no {key!r}, which data.{part} names. The row has {', '.join(map(repr, keys)) or 'no keys'}"
    for part, key in given.items()
    if key not in keys
  ]
  if problems:
    return Layout(problems=tuple(problems))
  # A part that is named elsewhere is not read under its own name.
  taken = {key for part, key in given.items()} | {*names.ignore}
  left = [key for key in keys if key not in taken and key not in given]
  kind, responses, scores, is_label, problem = _responses(left, given)
  if problem:
    return Layout(problems=(problem,))
  answer = given.get("answer") or next((key for key in keys_of("answer") if key in left), "")
  if kind == "single" and answer and not scores:
    kind, responses = "none", ()  # a question, and somebody's solution of it
  prompts, second = _prompts(left, given, kind)
  system = tuple(key for key in keys_of("system") if key in left)
  history = "history" if "history" in left else ""
  read = {*prompts, second, *system, *responses, scores, answer, history, "logps"}
  others = [key for key in left if key not in read]
  return Layout(
    kind=kind,
    responses=responses,
    scores=scores,
    is_label=is_label,
    prompts=prompts,
    second=second,
    system=system,
    history=history,
    answer=answer,
    context=tuple(key for key in others if key in CONTEXT),
    prompt_like=tuple(key for key in others if looks_like_a_prompt(key)),
    unread=tuple(key for key in keys if key not in read or key in names.ignore),
    problems=tuple(_missing(responses, left, given)) if kind == "pair" else (),
  )


def _responses(left: list[str], given: dict) -> tuple[str, tuple[str, ...], str, bool, str]:
  """(kind, keys of the responses, key of the scores, whether that is a label, a problem)."""
  if "chosen" in given or "rejected" in given:
    pair = (given.get("chosen", "chosen"), given.get("rejected", "rejected"))
    return "pair", pair, "", False, ""
  if "responses" in given:
    scores = given.get("scores") or _first(left, ("scores", "rewards"))
    return "group", (given["responses"],), scores, False, ""
  spelled = [key for key in _OURS if key in left]
  if len(spelled) > 1:
    problem = f"both {spelled[0]!r} and {spelled[1]!r}: say the responses once"
    return "none", (), "", False, problem
  for pair in all_of("pair") if "responses" not in left else ():
    if pair[0] in left or pair[1] in left:
      return "pair", pair, "", False, ""
  scored = "scores" in given
  for responses, scores in all_of("group"):
    if responses in left and (scored or scores in left or responses != "generations"):
      found = given.get("scores") or _first(left, (scores, "scores", "rewards"))
      return "group", (responses,), found, False, ""
  for *two, preference in all_of("two"):
    if {*two, preference} <= {*left}:
      return "two", tuple(two), preference, False, ""
  label = _first(left, keys_of("label"))
  score = given.get("scores") or label or _first(left, keys_of("score"))
  single = [key for key in keys_of("single") if key in left]
  if len(single) > 1:
    problem = (
      f"both {single[0]!r} and {single[1]!r}: --config.data.ignore={single[1]} leaves one out"
    )
    return "none", (), "", False, problem
  if single:
    return "single", (single[0],), score, bool(label) and "scores" not in given, ""
  # The last message may be the response.
  return "none", (), given.get("scores") or label, bool(label) and "scores" not in given, ""


def _prompts(left: list[str], given: dict, kind: str) -> tuple[tuple[str, ...], str]:
  """The keys of the prompt, and that of its second part."""
  if "prompt" in given:
    return (given["prompt"],), ""
  if found := tuple(key for key in keys_of("prompt") if key in left):
    return found, ""
  if "instruction" in left:
    return ("instruction",), "input" if "input" in left else ""
  if "input" in left:
    return ("input",), ""
  is_of_context = "completions" in left or kind == "two"
  return (("context",) if "context" in left and is_of_context else ()), ""


def _missing(responses: tuple[str, ...], left: list[str], given: dict) -> Iterator[str]:
  """Of a pair, the response that is not there."""
  for key, part in zip(responses, ("chosen", "rejected"), strict=True):
    if key not in left and key not in given.values():
      told = hint(tuple(left), part, (key,))
      yield f"no {key!r} beside it{'' if told.startswith(LISTED) else told}"


def _first(left: list[str], keys: tuple[str, ...]) -> str:
  return next((key for key in keys if key in left), "")


def no_responses(keys: tuple[str, ...]) -> str:
  """The problem of a row that has neither responses nor an answer."""
  names = tuple(key for keys in key_table.all_of("pair") for key in keys)
  known = ("responses", *names, *keys_of("single"))
  for part in ("chosen", "rejected", "responses", "answer"):
    told = hint(keys, part, known if part == "responses" else (part,))
    if not told.startswith(LISTED):
      break
  return f"no response ('responses', or 'chosen' and 'rejected') and no 'answer'{told}"
