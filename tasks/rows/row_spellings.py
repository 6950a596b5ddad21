"""The spellings of a row that are read as they are, from JSON or Parquet.

  groups     prompt | messages, responses: [text], scores: [number | null], logps: [[number]]
             prompt | messages, responses: [{response, score, logps}]
  pairs      messages | prompt, preferred_response, dispreferred_response
             prompt | messages, chosen, rejected                     (TRL, explicit prompt)
             chosen, rejected                                        (TRL, implicit prompt)
  prompts    prompt | messages | question, answer

A prompt is a text or a list of messages {role, content}; so are chosen and rejected, which may then
repeat the prompt's messages. An implicit prompt is what chosen and rejected begin with alike: whole
messages, or whole turns of a text of Human: and Assistant: turns, or else characters.
`logps`, where it is known, are the log-probs of every token of a response, its end included. Other
keys are let alone, but for one that looks like a slip of a key that is missing.
"""

import difflib
import math
from collections.abc import Iterable, Sequence
from typing import Any

from tasks.rows.dialogues import is_dialogue, messages_of_dialogue
from tasks.rows.row import BadRows, Problem, Prompt, Row, prompt_of

_PROMPT = ("prompt", "messages", "question")
_PAIRS = (("preferred_response", "dispreferred_response"), ("chosen", "rejected"))
_RESPONSES = ("responses", *_PAIRS[0], *_PAIRS[1])
_ROLES = ("system", "user", "assistant", "tool")
_LARGEST = 3.4e38  # of a float32


def parse(record: Any, where: str) -> Row:
  """The row that a JSON object, or a line of a Parquet file, spells.

  Raises:
    BadRows: with everything that is wrong with it.
  """
  problems: list[str] = []
  row = _row(record, where, problems)
  if problems:
    raise BadRows([Problem(where, what) for what in problems])
  assert row is not None
  return row


def _row(record: Any, where: str, problems: list[str]) -> Row | None:
  if not isinstance(record, dict):
    problems.append(f"{_kind(record)}, not an object with a prompt and responses")
    return None
  record = {key: value for key, value in record.items() if value is not None}  # Parquet's gaps
  spelled = [key for key in ("responses", "preferred_response", "chosen") if key in record]
  if len(spelled) > 1:
    problems.append(f"both {spelled[0]!r} and {spelled[1]!r}: say the responses once")
    return None

  pair = next((pair for pair in _PAIRS if pair[0] in record or pair[1] in record), None)
  answer = record.get("answer", "")
  if not isinstance(answer, str):
    problems.append(f"'answer' is {_kind(answer)}, not text")
  if pair and all(key in record for key in pair):
    prompt, responses = _pair(record, pair, problems)
    scores, logps = (1.0, 0.0), _logps(record.get("logps"), len(responses), problems)
  else:
    if pair:
      missing = pair[0] if pair[1] in record else pair[1]
      problems.append(f"no {missing!r} beside it{_slip(record, [missing])}")
    prompt = _explicit_prompt(record, problems)
    if "responses" in record:
      responses, scores, logps = _group(record, problems)
    else:
      responses, scores, logps = (), (), None
      if not pair and not answer:
        hint = _slip(record, _RESPONSES) or _slip(record, ["answer"])
        problems.append(f"no response ('responses', or 'chosen' and 'rejected'){hint}")
  if responses:
    _check_responses(responses, scores, problems)
  if prompt is None or problems:
    return None
  return Row(prompt, responses, scores, logps, answer, where, _is_implicit_text(record, pair))


def _is_implicit_text(record: dict, pair: tuple[str, str] | None) -> bool:
  if not pair or any(key in record for key in _PROMPT):
    return False
  better = record[pair[0]]
  return isinstance(better, str) and not is_dialogue(better)


# --- prompts ------------------------------------------------------------------------------------


def _explicit_prompt(record: dict, problems: list[str]) -> Prompt | None:
  found = [key for key in _PROMPT if key in record]
  if not found:
    problems.append(f"no prompt ('prompt' or 'messages'){_slip(record, _PROMPT)}")
    return None
  return _prompt(record[found[0]], found[0], problems)


def _prompt(value: Any, name: str, problems: list[str]) -> Prompt | None:
  if isinstance(value, str):
    if not value.strip():
      problems.append(f"{name!r} is empty")
    return value
  messages = _messages(value, name, problems)
  if messages is None:
    return None
  if not messages:
    problems.append(f"{name!r} has no messages")
  elif messages[-1]["role"] == "assistant":
    problems.append(f"{name!r} ends with the assistant's message: the responses come after it")
  elif not any(message["content"].strip() for message in messages):
    problems.append(f"{name!r} is empty")
  return prompt_of(messages)


def _messages(value: Any, name: str, problems: list[str]) -> list[dict[str, str]] | None:
  if not isinstance(value, list):
    problems.append(f"{name!r} is {_kind(value)}, not text or a list of messages")
    return None
  for i, message in enumerate(value):
    if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
      problems.append(f"message {i + 1} of {name!r} is not {{role, content}}")
    elif message["role"] not in _ROLES:
      known = ", ".join(_ROLES)
      problems.append(f"message {i + 1} of {name!r} has the role {message['role']!r}, not {known}")
    elif not isinstance(message["content"], str):
      problems.append(f"message {i + 1} of {name!r}: content is {_kind(message['content'])}")
    else:
      continue
    return None
  return [{key: message[key] for key in ("role", "content")} for message in value]


# --- pairs --------------------------------------------------------------------------------------


def _pair(
  record: dict, keys: tuple[str, str], problems: list[str]
) -> tuple[Prompt | None, tuple[str, ...]]:
  """The prompt and the two responses, the better first."""
  values = [record[key] for key in keys]
  given = any(key in record for key in _PROMPT)
  prompt = _explicit_prompt(record, problems) if given else None
  if all(isinstance(value, str) for value in values):
    if given:
      return prompt, tuple(values)
    if not all(is_dialogue(value) for value in values):
      start = _common_prefix(*values)
      if not start.strip():
        problems.append(f"no prompt, and {keys[0]!r} and {keys[1]!r} begin with nothing in common")
      return start, tuple(value[len(start) :] for value in values)
    values = [messages_of_dialogue(value) for value in values]
  return _pair_of_messages(prompt, values, keys, given, problems)


def _pair_of_messages(prompt, values, keys, given: bool, problems: list[str]):
  chosen, rejected = (
    _messages(value, key, problems) for value, key in zip(values, keys, strict=True)
  )
  if chosen is None or rejected is None or (given and prompt is None):
    return None, ()
  if not given:
    same, responses_at = 0, min(len(chosen), len(rejected)) - 1
    while same < responses_at and chosen[same] == rejected[same]:
      same += 1
    if not same:
      problems.append(f"no prompt, and {keys[0]!r} and {keys[1]!r} share no first message")
      return None, ()
    prompt = _prompt(chosen[:same], "prompt", problems)
  responses = []
  for key, messages in zip(keys, (chosen, rejected), strict=True):
    start = next((n for n in range(len(messages)) if prompt_of(messages[:n]) == prompt), 0)
    rest = messages[start:]
    if len(rest) != 1 or rest[0]["role"] != "assistant":
      roles = ", ".join(message["role"] for message in rest) or "no message"
      problems.append(f"{key!r} holds {roles} after the prompt, not one message of the assistant")
      return None, ()
    responses.append(rest[0]["content"])
  return prompt, tuple(responses)


def _common_prefix(chosen: str, rejected: str) -> str:
  """As TRL's extract_prompt: a space before the difference belongs to the responses."""
  same = 0
  while same < min(len(chosen), len(rejected)) and chosen[same] == rejected[same]:
    same += 1
  return chosen[: same - 1] if chosen[:same].endswith(" ") else chosen[:same]


# --- groups -------------------------------------------------------------------------------------


def _group(record: dict, problems: list[str]):
  """(responses, scores, logps) of the key "responses"."""
  items = record["responses"]
  if not isinstance(items, list):
    problems.append(f"'responses' is {_kind(items)}, not a list")
    return (), (), None
  if not items:
    problems.append("no response ('responses' is empty)")
  if all(isinstance(item, dict) for item in items):
    for i, item in enumerate(items):
      if "response" not in item or "score" not in item:
        key = "score" if "response" in item else "response"
        problems.append(f"response {i + 1} has no {key!r}{_slip(item, [key])}")
    responses = tuple(item.get("response", "?") for item in items)
    scores = [item.get("score") for item in items]
    logps = [item.get("logps") for item in items]
    logps = None if all(one is None for one in logps) else logps
  else:
    responses, scores, logps = tuple(items), record.get("scores"), record.get("logps")
    if scores is None:
      problems.append(
        f"'responses' are texts, and there are no 'scores'{_slip(record, ['scores'])}"
      )
      scores = [None] * len(items)
    elif not isinstance(scores, list) or len(scores) != len(items):
      n = f"{len(scores)} scores" if isinstance(scores, list) else f"'scores' is {_kind(scores)}"
      problems.append(f"{n}, for {len(items)} responses")
      scores = [None] * len(items)
  scores = tuple(_score(score, f"score {i + 1}", problems) for i, score in enumerate(scores))
  return responses, scores, _logps(logps, len(items), problems)


def _check_responses(responses: Sequence[Any], scores: Sequence[Any], problems: list[str]) -> None:
  """Each a text, at least two of them, and nothing contradictory."""
  wrong = [(i, text) for i, text in enumerate(responses) if not isinstance(text, str)]
  for i, text in wrong:
    problems.append(f"response {i + 1} is {_kind(text)}, not text")
  for i, text in enumerate(responses):
    if isinstance(text, str) and not text.strip():
      problems.append(f"response {i + 1} is empty")
  if len(responses) == 1:
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
    problems.append(f"{name} is {_kind(value)}, not a number")
  elif not abs(value) <= _LARGEST:
    problems.append(f"{name} is {value}: not a finite number (null says unscored)")
  else:
    return float(value)
  return None


def _logps(value: Any, k: int, problems: list[str]) -> tuple[tuple[float, ...], ...] | None:
  """Their lengths in tokens can only be checked when there is a tokenizer."""
  if value is None:
    return None
  if not isinstance(value, list) or len(value) != k:
    n = f"{len(value)}" if isinstance(value, list) else _kind(value)
    problems.append(f"'logps' is {n}, not one list of log-probs for each of {k} responses")
    return None
  for i, one in enumerate(value):
    if not isinstance(one, list) or not all(_is_log_prob(x) for x in one):
      problems.append(f"'logps' of response {i + 1} are not all numbers of at most 0")
      return None
  return tuple(tuple(map(float, one)) for one in value)


def _is_log_prob(x: Any) -> bool:
  is_number = isinstance(x, int | float) and not isinstance(x, bool)
  return is_number and math.isfinite(x) and x <= 1e-4  # rounding may leave it above 0


# --- words --------------------------------------------------------------------------------------


def _slip(record: dict, missing: Iterable[str]) -> str:
  """ " There is 'chosn': did you mean 'chosen'?" if a key looks like a missing one."""
  for key in record:
    if key in (*_PROMPT, *_RESPONSES) or not isinstance(key, str):
      continue
    near = difflib.get_close_matches(key.lower(), list(missing), n=1, cutoff=0.7)
    if near:
      return f". There is {key!r}: did you mean {near[0]!r}?"
  return ""


def _kind(value: Any) -> str:
  kinds = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "true or false",
    type(None): "null",
  }
  return kinds.get(type(value), "a number" if isinstance(value, int | float) else "of a wrong type")
