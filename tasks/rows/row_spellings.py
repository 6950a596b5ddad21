"""A row from a JSON object, or a line of a Parquet file, in any of the spellings of `key_table`.

  groups     prompt | messages, responses: [text], scores: [number | null], logps: [[number]]
             prompt | messages, responses: [{response, score, logps}]
  pairs      messages | prompt, preferred_response, dispreferred_response
             prompt | messages, chosen, rejected                     (TRL, explicit prompt)
             chosen, rejected                                        (TRL, implicit prompt)
  single     prompt, completion, label                               (TRL, unpaired: K = 1)
             prompt, completion | messages                           (a response to imitate: K = 1)
  prompts    prompt | messages | question, answer

A prompt is a text or a list of messages {role, content}; so are responses, which may then repeat
the prompt's messages. An implicit prompt is what chosen and rejected begin with alike: whole
messages, or whole turns of a text of Human: and Assistant: turns, or else characters up to the end
of a word, if no key looks like a prompt. `logps`, where it is known, are the log-probs of every
token of a response, its end included.

Nothing that belongs to a prompt is left out unless `RowNames.ignore` says so; which other keys were
not read is in `Row.unread`.
"""

from collections.abc import Sequence
from typing import Any, TypeGuard

from tasks.rows import foreign_texts, messages, prompts, responses
from tasks.rows.dialogues import is_dialogue, messages_of_dialogue
from tasks.rows.key_layouts import Layout, layout_of, no_responses
from tasks.rows.responses import Scored, text_after
from tasks.rows.row import BadRows, Problem, Prompt, Row
from tasks.rows.row_names import AS_SPELLED, RowNames
from tasks.rows.row_words import is_empty, kind_of


def parse(record: Any, where: str, names: RowNames = AS_SPELLED) -> Row:
  """The row that a record spells.

  Raises:
    BadRows: with everything that is wrong with it.
  """
  problems: list[str] = []
  row = _row(record, where, names, problems)
  if problems:
    raise BadRows([Problem(where, what) for what in problems])
  assert row is not None
  return row


def _row(record: Any, where: str, names: RowNames, problems: list[str]) -> Row | None:
  if not isinstance(record, dict):
    problems.append(f"{kind_of(record)}, not an object with a prompt and responses")
    return None
  if isinstance(inside := record.get("input"), dict):  # OpenAI
    record = inside | {key: value for key, value in record.items() if key != "input"}
  record = {key: value for key, value in record.items() if value is not None}  # Parquet's gaps
  layout = layout_of(tuple(record), names)
  if layout.problems and layout.kind != "pair":
    problems += layout.problems
    return None
  answer = _answer(record, layout, problems)
  prompt, scored = _prompt_and_responses(record, layout, names.ignore, problems)
  texts, scores, logps, implicit = scored
  if texts:
    responses.check(texts, scores, problems, one=layout.kind in ("single", "none"))
  if logps is None:  # else the texts are to the letter what a policy wrote
    problems += foreign_texts.faults(prompt, texts)
    if isinstance(prompt, str) and texts and not problems:
      texts = foreign_texts.without_prompt(prompt, texts)
  if prompt is None or problems:
    return None
  return Row(prompt, texts, scores, logps, answer, where, implicit, layout.unread)


def _prompt_and_responses(
  record: dict, layout: Layout, ignore: Sequence[str], problems: list[str]
) -> tuple[Prompt | None, Scored]:
  if layout.kind == "pair" and not layout.problems and not layout.prompts:
    return _implicit(record, layout, ignore, problems)
  problems += layout.problems
  found = prompts.conversation_of(record, layout, ignore, problems)
  if layout.kind == "none" and not layout.answer and _is_answered(found):
    # Its last message is the response.
    score = responses.score_of_one(record, layout, problems)
    scored = Scored((found[-1]["content"],), (score,))
    return prompts.prompt_with(found[:-1], record, layout, ignore, problems), scored
  prompt = None
  if found is not None:
    prompt = prompts.prompt_with(found, record, layout, ignore, problems)
  scored = _explicit(record, layout, prompt, ignore, problems)
  if layout.kind == "none" and not layout.answer:
    problems.append(no_responses(tuple(record)))
  if isinstance(found, list) and scored.logps is None and prompts.is_of_dialogue(record, layout):
    texts = (text.strip() if isinstance(text, str) else text for text in scored.responses)
    scored = scored._replace(responses=tuple(texts))
  return prompt, scored


def _explicit(
  record: dict, layout: Layout, prompt: Prompt | None, ignore: Sequence[str], problems: list[str]
) -> Scored:
  """The responses of a row that should say its prompt."""
  if layout.kind == "group":
    return responses.group(record, layout, problems)
  if layout.kind == "two":
    return responses.two(record, layout, problems)
  if layout.kind == "none" or layout.problems:
    return Scored(())
  texts, told = [], len(problems)
  for key in layout.responses:
    texts.append(text_after(prompt, record[key], key, ignore, problems))
  if len(problems) > told:
    return Scored(())
  if layout.kind == "single":
    return Scored(tuple(texts), (responses.score_of_one(record, layout, problems),))
  logps = responses.log_probs(record.get("logps"), len(texts), problems)
  return Scored(tuple(texts), (1.0, 0.0), logps)


def _is_answered(found: str | prompts.Conversation | None) -> TypeGuard[prompts.Conversation]:
  return isinstance(found, list) and len(found) > 1 and found[-1]["role"] == "assistant"


def _answer(record: dict, layout: Layout, problems: list[str]) -> str:
  """The answer that a response should give; "" where the row does not tell."""
  if not layout.answer:
    return ""
  value = record[layout.answer]
  if layout.answer == "reward_model":  # verl's
    value = value.get("ground_truth", "") if isinstance(value, dict) else ""
  if not isinstance(value, str):
    problems.append(f"{layout.answer!r} is {kind_of(value)}, not text")
    return ""
  if fault := foreign_texts.fault(value):
    problems.append(f"{layout.answer!r} {fault}")
  if not value and layout.kind == "none":
    problems.append(f"{layout.answer!r} is empty")
  return value


# --- implicit prompts ---------------------------------------------------------------------------


def _implicit(
  record: dict, layout: Layout, ignore: Sequence[str], problems: list[str]
) -> tuple[Prompt | None, Scored]:
  """The prompt that the two begin with, and what comes after it."""
  better, worse = layout.responses
  values = [_turns(record[key], key, problems) for key in layout.responses]
  if problems:
    return None, Scored(())
  if all(isinstance(value, str) for value in values):
    start = _common_start(values[0], values[1], layout, record, problems)
    if problems:
      return None, Scored(())
    found, texts, is_text = start, tuple(value[len(start) :] for value in values), True
  elif any(isinstance(value, str) for value in values):
    texts_key = better if isinstance(values[0], str) else worse
    problems.append(f"no prompt, and of {better!r} and {worse!r} only {texts_key!r} is text")
    return None, Scored(())
  else:
    found, texts = _common_messages(values, layout.responses, ignore, problems)
    is_text = False
    if found is None:
      return None, Scored(())
  prompt = prompts.prompt_with(found, record, layout, ignore, problems)
  logps = responses.log_probs(record.get("logps"), 2, problems)
  return prompt, Scored(texts, (1.0, 0.0), logps, is_text)


def _turns(value: Any, key: str, problems: list[str]) -> Any:
  """Messages, if the value is or spells some; else the text."""
  if not isinstance(value, str):
    return value
  if is_dialogue(value):
    return messages_of_dialogue(value)
  try:
    spelled = foreign_texts.messages_in(value)
  except ValueError as error:
    problems.append(f"{key!r} {error}")
    return None
  return value if spelled is None else spelled


def _common_messages(values, keys: tuple[str, ...], ignore: Sequence[str], problems: list[str]):
  """(prompt's messages, texts) of two conversations; (None, ()), with the problem."""
  chosen, rejected = (
    messages.messages_of(value, key, ignore, problems)
    for value, key in zip(values, keys, strict=True)
  )
  if chosen is None or rejected is None:
    return None, ()
  same, responses_at = 0, min(len(chosen), len(rejected)) - 1
  while same < responses_at and chosen[same] == rejected[same]:
    same += 1
  if not same:
    problems.append(f"no prompt, and {keys[0]!r} and {keys[1]!r} share no first message")
    return None, ()
  texts = []
  for key, found in zip(keys, (chosen, rejected), strict=True):
    texts.append(responses.one_answer(found[same:], key, problems))
  return (None, ()) if None in texts else (chosen[:same], tuple(texts))


def _common_start(
  chosen: str, rejected: str, layout: Layout, record: dict, problems: list[str]
) -> str:
  """As TRL's extract_prompt: a space before the difference belongs to the responses."""
  for key in layout.prompt_like:
    if not is_empty(record[key]):
      problems.append(
        f"no prompt is read, and {key!r} looks like one: --config.data.prompt={key} reads it, "
        f"--config.data.ignore={key} takes what {layout.responses[0]!r} and "
        f"{layout.responses[1]!r} begin with alike"
      )
      return ""
  n = _same(chosen, rejected)
  n -= chosen[:n].endswith(" ")
  start = chosen[:n]
  if not start.strip():
    first, second = layout.responses
    problems.append(f"no prompt, and {first!r} and {second!r} begin with nothing in common")
  elif any(foreign_texts.is_inside_a_word(start, text[n:]) for text in (chosen, rejected)):
    problems.append(
      f"no prompt, and what {layout.responses[0]!r} and {layout.responses[1]!r} begin with alike "
      f"ends inside a word: {start[-30:]!r}"
    )
  return start


def _same(first: str, second: str) -> int:
  """How many characters two texts begin with alike."""
  low, high = 0, min(len(first), len(second))
  if first[:high] == second[:high]:
    return high
  while high - low > 1:
    middle = (low + high) // 2
    if first[low:middle] == second[low:middle]:
      low = middle
    else:
      high = middle
  return low
