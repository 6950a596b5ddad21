"""The responses that people were shown and their choices, in files that only grow. No jax here.

  offers/offers.jsonl   every pair of responses, written before anybody sees it
  choices.jsonl         a row a choice, in the spellings that `row_files` reads: messages with
                        preferred_response and dispreferred_response; a tie as responses of equal
                        score. Beside them: logps (and tokens) under the policy that wrote them, the
                        offer's id, the time, which was shown left, and the policy

A line is on the disk before the page is told. So a server killed between an offer and its choice
loses nothing: started again, it knows the offer and accepts the choice.
"""

import json
import os
import threading
import time
from collections.abc import Mapping
from typing import Any, Literal

from training.errors import UserError
from training.records import files, hold

Choice = Literal["left", "right", "tie"]
_OF_OFFER = {"id": str, "messages": list, "responses": list, "left": int, "comparable": bool}
Messages = list[dict[str, str]]


class Refused(Exception):
  """A request that cannot be served; `status` is that of HTTP."""

  def __init__(self, status: int, message: str):
    super().__init__(message)
    self.status = status


class FeedbackStore:
  """The files below `folder`, locked by one process at a time. UserError if another has them."""

  def __init__(self, folder: str):
    self.folder = folder
    self._offers_file = os.path.join(folder, "offers", "offers.jsonl")
    self._choices_file = os.path.join(folder, "choices.jsonl")
    os.makedirs(os.path.dirname(self._offers_file), exist_ok=True)
    self._lock_file = hold.lock(
      os.path.join(folder, ".lock"), f"{folder}: another process is collecting feedback there"
    )
    self._lock = threading.Lock()
    self._offers = {offer["id"]: offer for offer in read_lines(self._offers_file, _OF_OFFER)}
    choices = read_lines(self._choices_file, {"id": str, "choice": str})
    self._choices = {row["id"]: row["choice"] for row in choices}

  @property
  def count(self) -> int:
    """The number of choices so far."""
    return len(self._choices)

  def messages_after(self, offer_id: str | None) -> Messages:
    """Returns the conversation up to the response that was chosen; after a tie, the left one."""
    if offer_id is None:
      return []
    offer = self._offer(offer_id)
    if offer["comparable"] and offer_id not in self._choices:
      raise Refused(409, "Choose one of the two responses first.")
    side = self._choices.get(offer_id, "left")
    text = offer["responses"][_index(offer, "left" if side == "tie" else side)]
    return [*offer["messages"], {"role": "assistant", "content": text}]

  def add_offer(self, offer: Mapping[str, Any]) -> None:
    """Keeps a pair: id, messages, responses, tokens, logps, finished, left, policy, comparable."""
    with self._lock:
      append_line(self._offers_file, dict(offer) | {"time": time.time()})
      self._offers[offer["id"]] = dict(offer)

  def choose(self, offer_id: str, choice: Choice) -> None:
    """Keeps a choice. The same choice again changes nothing; another one is refused."""
    with self._lock:
      offer, before = self._offer(offer_id), self._choices.get(offer_id)
      if not offer["comparable"]:
        raise Refused(409, "The two responses are the same: there is nothing to choose.")
      if before is None:
        append_line(self._choices_file, row_of(offer, choice))
        self._choices[offer_id] = choice
      elif before != choice:
        raise Refused(409, f"You chose already: {before}. The conversation went on from there.")

  def _offer(self, offer_id: str) -> dict[str, Any]:
    if offer_id not in self._offers:
      raise Refused(404, "No such pair of responses here. Start a new conversation.")
    return self._offers[offer_id]


def row_of(offer: Mapping[str, Any], choice: Choice) -> dict[str, Any]:
  """Returns the choice as a row of choices.jsonl."""
  about = {key: offer[key] for key in ("id", "policy")} | {"choice": choice, "time": time.time()}
  if choice == "tie":
    order = [_index(offer, "left"), _index(offer, "right")]
    pair = [{"response": offer["responses"][i], "score": 0.5} for i in order]
    row: dict[str, Any] = {"messages": offer["messages"], "responses": pair}
    for response, i in zip(pair, order, strict=True):
      response["logps"] = offer["logps"][i]
  else:
    better = _index(offer, choice)
    order = [better, 1 - better]
    texts = [offer["responses"][i] for i in order]
    row = {"messages": offer["messages"]}
    row |= dict(zip(("preferred_response", "dispreferred_response"), texts, strict=True))
    row["logps"] = [offer["logps"][i] for i in order]
  row |= {name: [offer[name][i] for i in order] for name in ("tokens", "finished")}
  return row | {"shown_left": order.index(offer["left"])} | about


def _index(offer: Mapping[str, Any], side: str) -> int:
  """Returns the index of the offer's response that was shown on this side."""
  return offer["left"] if side == "left" else 1 - offer["left"]


def append_line(path: str, record: Mapping[str, Any]) -> None:
  """Appends one line, which is on the disk when this returns. OSError: there is none of it."""
  is_new = not os.path.exists(path)
  with open(path, "ab") as file:
    whole = os.fstat(file.fileno()).st_size
    try:
      file.write(json.dumps(record).encode() + b"\n")
      file.flush()
      os.fsync(file.fileno())
    except OSError:  # the disk is full, say: what follows must not join half a line
      os.ftruncate(file.fileno(), whole)
      raise
  if is_new:
    sync_folder(os.path.dirname(path))


def sync_folder(path: str) -> None:
  """Returns when the names of the files in a folder are on the disk."""
  folder = os.open(path, os.O_RDONLY)
  os.fsync(folder)
  os.close(folder)


def read_lines(path: str, needs: Mapping[str, type]) -> list[dict[str, Any]]:
  """Reads all whole lines. Removes a last one that was cut off, which nobody was told is kept.

  UserError if a line is none of ours: rounds count the rows, so that none is left out.
  """
  if not os.path.exists(path):
    return []
  try:
    with open(path, "rb+") as file:
      content = file.read()
      whole = content.rfind(b"\n") + 1
      file.truncate(whole)
  except OSError as error:
    raise UserError(f"{path} cannot be read: {error.strerror}") from None
  return [
    _row(line, needs, f"{path} line {number}")
    for number, line in enumerate(content[:whole].split(b"\n")[:-1], start=1)
  ]


def _row(line: bytes, needs: Mapping[str, type], where: str) -> dict[str, Any]:
  try:
    row = files.parsed(line)
  except ValueError as error:
    raise files.damaged(where, f"no JSON ({error})") from None
  if not isinstance(row, dict):
    raise files.damaged(where, "no JSON object")
  if missing := [key for key, kind in needs.items() if not isinstance(row.get(key), kind)]:
    raise files.damaged(where, f"its {missing[0]!r} is missing, or of another kind")
  return row
