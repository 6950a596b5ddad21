"""Which of the answers of a completion was better: POST /v1/feedback, a row of the deployment each.

  {"completion": "chatcmpl-…", "best": 1}              the answer of that index
  {"completion": "chatcmpl-…", "scores": [0.2, 1, 0]}  one a answer; null: unscored

Rows lie in the deployment's feedback/service.jsonl, in the spelling of scored groups that
docs/data.md lists, with the tokens and the behaviour policy's log-probs: of the distribution that
was drawn from, by the request's own temperature and top_p. Rounds and jobs train on them.
"""

import os
import threading
import time
from collections.abc import Mapping
from typing import Any

from serving.errors import ApiError, conflict, invalid, no_room
from serving.fields import Fields
from serving.lines import append_line, read_lines
from serving.state import ANSWERS, State, is_full

FILE = "service.jsonl"
HIGHEST = 1e6  # a score
_OF_ROW = {"id": str, "said": list}  # what a row must have


class FeedbackRows:
  """The rows in `folder`, and what was said in each, by completion."""

  def __init__(self, folder: str, state: State):
    self._path, self._state = os.path.join(folder, FILE), state
    os.makedirs(folder, exist_ok=True)
    self._lock = threading.Lock()
    self._said = {row["id"]: row["said"] for row in read_lines(self._path, _OF_ROW)}

  @property
  def count(self) -> int:
    return len(self._said)

  def add(self, body: Mapping[str, Any]) -> dict[str, Any]:
    """Keeps what a request says. The same again changes nothing; ApiError for something else."""
    fields = Fields(body)
    completion = fields.text("completion", most=100)
    answers = self._state.answers(completion)
    if answers is None and completion not in self._said:
      raise ApiError(
        404,
        f"No answers of {completion!r} here to compare: those of requests with n of 2 or more are"
        f" kept, the last {ANSWERS:,}.",
        param="completion",
        code="completion_not_found",
      )
    known = self._said.get(completion)
    count = len(answers["texts"]) if answers else len(known or ())
    scores = _scores(fields, count)
    fields.done()
    with self._lock:
      known = self._said.get(completion)
      if known is None:
        assert answers is not None
        scores = _of_texts(scores, answers["texts"])
        self._append(row_of(completion, answers, scores))
        self._said[completion] = scores
      elif known != (_of_texts(scores, answers["texts"]) if answers else scores):
        raise conflict(f"{completion} has feedback already: scores {known}.", "already_told")
    return {"object": "feedback", "completion": completion, "scores": self._said[completion]}

  def _append(self, row: Mapping[str, Any]) -> None:
    try:
      append_line(self._path, row)
    except OSError as error:
      if is_full(error):
        raise no_room("this feedback is not kept") from None
      raise


def _scores(fields: Fields, count: int) -> list[float | None]:
  """The scores that a request gives the `count` answers."""
  given = [name for name in ("best", "scores") if fields.get(name) is not None]
  if len(given) != 1:
    raise invalid("", "Give one of 'best' (an index) and 'scores' (one an answer).")
  if given == ["best"]:
    best = fields.integer("best", None, least=0, most=count - 1)
    return [float(i == best) for i in range(count)]
  scores = fields.get("scores")
  if not isinstance(scores, list) or len(scores) != count:
    raise fields.wrong("scores", f"must be a list of {count} numbers, one an answer")
  entries = [Fields({"scores": score}) for score in scores]
  found = [
    None if score is None else one.number("scores", None, least=-HIGHEST, most=HIGHEST)
    for one, score in zip(entries, scores, strict=True)
  ]
  if sum(score is not None for score in found) < 2:
    raise fields.wrong("scores", "must score two answers or more")
  return found


def _of_texts(scores: list[float | None], texts: list[str]) -> list[float | None]:
  """The scores, where answers of one text have one: the highest that was said of it.

  Empty answers are in no row. ApiError if there are no two others that differ.
  """
  best: dict[str, float] = {}
  for text, score in zip(texts, scores, strict=True):
    if score is not None:
      best[text] = max(score, best.get(text, score))
  if len(set(filter(str.strip, texts))) < 2:
    message = "All answers are the same, or empty: there is nothing to compare."
    raise conflict(message, "nothing_to_compare")
  return [best.get(text) for text in texts]


def row_of(
  completion: str, answers: Mapping[str, Any], scores: list[float | None]
) -> dict[str, Any]:
  """The row of the data set."""
  kept = [i for i, text in enumerate(answers["texts"]) if text.strip()]
  responses = [{"response": answers["texts"][i], "score": scores[i]} for i in kept]
  row: dict[str, Any] = {"messages": answers["messages"], "responses": responses}
  if answers["logps"]:
    for response, i in zip(responses, kept, strict=True):
      response["logps"] = answers["logps"][i]
    row |= {name: [answers[name][i] for i in kept] for name in ("tokens", "finished")}
  row |= {"said": scores}
  row |= {name: answers[name] for name in ("policy", "temperature", "top_p")}
  return row | {"id": completion, "time": time.time()}
