"""The responses of a row and their scores: a pair, a group of K, two compared, or one."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from tasks.rows import foreign_texts, messages
from tasks.rows.key_layouts import Layout
from tasks.rows.key_table import ITEM_SCORES, ITEM_TEXTS, hint
from tasks.rows.messages import Message
from tasks.rows.row import Prompt, messages_of
from tasks.rows.row_words import kind_of, listed, shown

_LARGEST = 3.4e38  # of a float32

Logps = tuple[tuple[float, ...], ...] | None


class Scored(NamedTuple):
  """K responses. Whatever is wrong with one is among the problems."""

  responses: tuple[Any, ...]
  scores: tuple[float | None, ...] = ()
  logps: Logps = None
  implicit: bool = False  # the prompt is the text that they began with alike


def text_after(
  prompt: Prompt | None, value: Any, key: str, ignore: Sequence[str], problems: list[str]
) -> Any:
  """A response's text: of a text, or of one message of the assistant, after the prompt or alone."""
  if isinstance(value, str):
    if value[:1] not in "[{":
      return value
    try:
      spelled = foreign_texts.messages_in(value)
    except ValueError as error:
      problems.append(f"{key!r} {error}")
      return None
    if spelled is None:
      return value
    value = spelled
  found = messages.messages_of(value, key, ignore, problems)
  if found is None:
    return None
  turns = messages_of(prompt) if prompt else []
  rest = found[len(turns) :] if found[: len(turns)] == turns else found
  return one_answer(rest, key, problems)


def one_answer(rest: list[Message], key: str, problems: list[str]) -> str | None:
  """The text of the assistant's only message; None, with the problem, if they are another thing."""
  if len(rest) != 1 or rest[0]["role"] != "assistant":
    roles = ", ".join(message["role"] for message in rest) or "no message"
    problems.append(f"{key!r} holds {roles} after the prompt, not one message of the assistant")
    return None
  return rest[0]["content"]


def group(record: dict, layout: Layout, problems: list[str]) -> Scored:
  """Of a list of texts with their scores, or of items that hold both."""
  key = layout.responses[0]
  items = record[key]
  if isinstance(items, dict):
    items = listed(items) or items
  if not isinstance(items, list):
    problems.append(f"{key!r} is {kind_of(items)}, not a list")
    return Scored(())
  if not items:
    problems.append(f"no response ({key!r} is empty)")
  if all(isinstance(item, dict) for item in items):
    responses, scores, logps = _items(items, problems)
  else:
    responses, scores = tuple(items), _listed_scores(record, layout, key, len(items), problems)
    logps = record.get("logps")
  scores = tuple(_score(score, f"score {i + 1}", problems) for i, score in enumerate(scores))
  return Scored(responses, scores, log_probs(logps, len(items), problems))


def _items(items: list[dict], problems: list[str]):
  """(responses, scores, logps) of objects."""
  first = items[0] if items else {}
  text_key = next((key for key in ITEM_TEXTS if key in first), "response")
  score_key = next((key for key in ITEM_SCORES if key in first), "score")
  responses, scores = [], []
  is_rank = score_key == "rank"
  for i, item in enumerate(items):
    if text_key not in item or score_key not in item:
      key = score_key if text_key in item else text_key
      part = "scores" if key == score_key else "responses"
      problems.append(f"response {i + 1} has no {key!r}{hint(tuple(item), part, (key,))}")
    text, score = item.get(text_key, "?"), item.get(score_key)
    if type(text) is not str and isinstance(text, dict | list):  # a message
      said: list[str] = []
      text = text_after("", text, text_key, (), said)
      problems += [f"response {i + 1}: {what}" for what in said]
      text = "?" if text is None else text
    if is_rank and isinstance(score, int | float):
      score = -score  # the first is the best
    responses.append(text)
    scores.append(score)
  logps = [item.get("logps") for item in items]
  return tuple(responses), scores, None if all(one is None for one in logps) else logps


def _listed_scores(record: dict, layout: Layout, key: str, k: int, problems: list[str]):
  scores = record.get(layout.scores) if layout.scores else None
  if isinstance(scores, list) and len(scores) == k:
    return scores
  if scores is not None:
    n = f"{len(scores)} {layout.scores}" if isinstance(scores, list) else ""
    what = n or f"{layout.scores!r} is {kind_of(scores)}"
    problems.append(f"{what}, for {k} responses")
  elif key == "completions" and "labels" in record:
    problems.append(
      "'completions' and 'labels' are steps of one response (TRL's stepwise supervision), and no "
      "responses to compare"
    )
  else:
    what = hint(tuple(record), "scores", ("scores",))
    problems.append(f"{key!r} are texts, and there are no 'scores'{what}")
  return [None] * k


def two(record: dict, layout: Layout, problems: list[str]) -> Scored:
  """Two responses, and a number that says which is better and by how much."""
  responses = tuple(record.get(key) for key in layout.responses)
  preference = _score(record.get(layout.scores), repr(layout.scores), problems)
  if preference is None:
    if not problems:
      problems.append(f"{layout.scores!r} is empty")
    return Scored(responses, (None, None))
  scores = (0.5, 0.5) if preference == 0 else (float(preference < 0), float(preference > 0))
  return Scored(responses, scores, log_probs(record.get("logps"), 2, problems))


def score_of_one(record: dict, layout: Layout, problems: list[str]) -> float | None:
  """The score of a single response: its label or score, or 1: something to imitate."""
  if not layout.scores:
    return 1.0
  value, name = record.get(layout.scores), repr(layout.scores)
  if isinstance(value, bool):
    return float(value)
  if layout.is_label:
    if isinstance(value, int | float) and value in (0, 1):
      return float(value)
    problems.append(
      f"{name} is {kind_of(value)}, not true or false: --config.data.ignore={layout.scores} leaves "
      "it out"
    )
    return None
  score = _score(value, name, problems)
  if score is None and not problems:
    problems.append(f"{name} is null: a response alone needs a score")
  return score


def check(responses: Sequence[Any], scores: Sequence[Any], problems: list[str], *, one: bool):
  """Each a text that a model may write, nothing contradictory, and at least two unless it is `one`.

  Texts that are objects of a chat are read before.
  """
  wrong = False
  for i, text in enumerate(responses):
    if not isinstance(text, str):
      problems.append(f"response {i + 1} is {kind_of(text)}, not text")
      wrong = True
    elif not text or text.isspace():
      problems.append(f"response {i + 1} is empty")
  if len(responses) == 1:
    if not one:
      problems.append("only one response (K=1): nothing to compare it with")
  elif not wrong and len(responses) == 2 and responses[0] == responses[1]:
    problems.append("the two responses are the same text")
  elif not wrong and not problems:
    score_of: dict[str, Any] = {}
    for i, (text, score) in enumerate(zip(responses, scores, strict=True)):
      if score_of.setdefault(text, score) != score:
        problems.append(f"response {i + 1} has a text that has another score above")
  if not problems and all(score is None for score in scores):
    problems.append("no response has a score")


def _score(value: Any, name: str, problems: list[str]) -> float | None:
  if value is None:
    return None
  if isinstance(value, bool) or not isinstance(value, int | float):
    problems.append(f"{name} is {kind_of(value)}, not a number")
  elif not abs(value) <= _LARGEST:
    problems.append(f"{name} is {shown(value)}: not a finite number (null says unscored)")
  else:
    return float(value)
  return None


def log_probs(value: Any, k: int, problems: list[str]) -> Logps:
  """Their lengths in tokens can only be checked when there is a tokenizer."""
  if value is None:
    return None
  if not isinstance(value, list) or len(value) != k:
    n = f"{len(value)}" if isinstance(value, list) else kind_of(value)
    problems.append(f"'logps' is {n}, not one list of log-probs for each of {k} responses")
    return None
  for i, one in enumerate(value):
    if not isinstance(one, list) or not all(_is_log_prob(x) for x in one):
      problems.append(f"'logps' of response {i + 1} are not all numbers of at most 0")
      return None
  return tuple(tuple(map(float, one)) for one in value)


def _is_log_prob(x: Any) -> bool:
  is_number = isinstance(x, int | float) and not isinstance(x, bool)
  # Rounding may leave it above 0.
  return is_number and abs(x) <= _LARGEST and math.isfinite(x) and x <= 1e-4
