"""The prompt of a row: its text or messages, with the system's message before it."""

from collections.abc import Sequence
from typing import Any

from tasks.rows import foreign_texts, messages
from tasks.rows.dialogues import is_dialogue, messages_of_dialogue
from tasks.rows.key_layouts import Layout
from tasks.rows.key_table import hint
from tasks.rows.messages import Message
from tasks.rows.row import Prompt, messages_of, prompt_of, text_of
from tasks.rows.row_words import is_empty, kind_of

_STARTS = "\nH[{ \t\r"  # of dialogues, and of messages as JSON
_PAIR = ("user", "assistant")
Conversation = list[Message]


def conversation_of(
  record: dict, layout: Layout, ignore: Sequence[str], problems: list[str]
) -> str | Conversation | None:
  """The text, or the messages, of the keys of the prompt, the system's message aside.

  None, with the problem, where they say nothing, or not the same.
  """
  keys = layout.prompts
  if len(keys) > 1:
    keys = tuple(key for key in keys if not is_empty(record[key])) or keys[:1]
  if not keys:
    problems.append(f"no prompt ('prompt' or 'messages'){hint(tuple(record), 'prompt')}")
    return None
  first = _value(record[keys[0]], keys[0], ignore, problems)
  for key in keys[1:]:
    other = _value(record[key], key, ignore, problems)
    if first is not None and other is not None and not _agree(_turns(first), _turns(other)):
      problems.append(
        f"{keys[0]!r} and {key!r} say different things: --config.data.prompt={keys[0]} or "
        f"--config.data.prompt={key} says which is the prompt"
      )
      return None
  if layout.second and not is_empty(second := record[layout.second]):
    return _joined(first, second, keys[0], layout.second, problems)
  return first


def prompt_with(
  found: str | Conversation,
  record: dict,
  layout: Layout,
  ignore: Sequence[str],
  problems: list[str],
) -> Prompt:
  """The prompt, with what comes before it in the row's other keys."""
  name = layout.prompts[0] if layout.prompts else "prompt"
  if isinstance(found, str):
    prompt: Prompt = found
    if not found.strip():
      problems.append(f"{name!r} is empty")
  else:
    prompt = prompt_of(found)
    if not found:
      problems.append(f"{name!r} has no messages")
    elif found[-1]["role"] == "assistant":
      problems.append(f"{name!r} ends with the assistant's message: the responses come after it")
    elif not any(message["content"].strip() for message in found):
      problems.append(f"{name!r} is empty")
  if layout.history and not is_empty(record[layout.history]):
    prompt = _after_history(prompt, record[layout.history], layout.history, problems)
  for key in layout.system:
    if not is_empty(record[key]):
      prompt = _after_system(prompt, record[key], key, ignore, problems)
  for key in layout.context:
    if not is_empty(record[key]) and not _says(prompt, record[key]):
      reads = f", --config.data.prompt={key} reads it" if isinstance(record[key], str) else ""
      problems.append(
        f"{key!r} belongs to the prompt and is not read: --config.data.ignore={key} leaves it out"
        f"{reads}"
      )
  return prompt


def is_of_dialogue(record: dict, layout: Layout) -> bool:
  """Whether the prompt is a text of turns, after which a space belongs to nobody."""
  value = record[layout.prompts[0]] if layout.prompts else None
  return isinstance(value, str) and is_dialogue(value)


def _value(
  value: Any, name: str, ignore: Sequence[str], problems: list[str]
) -> str | Conversation | None:
  if not isinstance(value, str):
    return messages.messages_of(value, name, ignore, problems)
  if value[:1] not in _STARTS:
    return value
  if is_dialogue(value):
    turns = messages_of_dialogue(value)
    if turns[-1] == {"role": "assistant", "content": ""}:
      turns.pop()
    return messages.messages_of(turns, name, ignore, problems)
  try:
    spelled = foreign_texts.messages_in(value)
  except ValueError as error:
    problems.append(f"{name!r} {error}")
    return None
  return value if spelled is None else messages.messages_of(spelled, name, ignore, problems)


def _turns(found: str | Conversation) -> list[tuple[str, str]]:
  conversation = messages_of(found) if isinstance(found, str) else found
  return [(message["role"], message["content"].strip()) for message in conversation]


def _agree(first: list, other: list) -> bool:
  """Whether they are the same, or one is the other with the answer to it."""
  short, long = sorted((first, other), key=len)
  rest = [role for role, _ in long[len(short) :]]
  return long[: len(short)] == short and rest in ([], ["assistant"])


def _joined(first, second: Any, name: str, second_name: str, problems: list[str]):
  if not isinstance(first, str) or not isinstance(second, str):
    if first is not None:
      problems.append(
        f"{name!r} is {kind_of(first)} and {second_name!r} {kind_of(second)}: both must be text"
      )
    return None
  return f"{first}\n{second}" if first.strip() else second


def _after_system(prompt: Prompt, value: Any, key: str, ignore, problems: list[str]) -> Prompt:
  text = messages.text_of_parts(value, ignore)
  if text is None:
    problems.append(f"{key!r} is {kind_of(value)}, not text")
    return prompt
  conversation = (("user", prompt),) if isinstance(prompt, str) else prompt
  if conversation and conversation[0][0] == "system":
    if conversation[0][1].strip() != text.strip():
      problems.append(f"{key!r} and the first message are two system messages that differ")
    return prompt
  return (("system", text), *conversation)


def _after_history(prompt: Prompt, value: Any, key: str, problems: list[str]) -> Prompt:
  """Turns [question, answer], as LLaMA-Factory has them."""
  is_turns = isinstance(value, list) and all(
    isinstance(turn, list) and len(turn) == 2 and all(isinstance(text, str) for text in turn)
    for turn in value
  )
  if not is_turns or not isinstance(prompt, str):
    what = "is no list of [question, answer]" if not is_turns else "stands beside messages"
    problems.append(f"{key!r} {what}, and is not read: --config.data.ignore={key} leaves it out")
    return prompt
  turns = [(role, text) for turn in value for role, text in zip(_PAIR, turn, strict=True)]
  return (*turns, ("user", prompt))


def _says(prompt: Prompt, value: Any) -> bool:
  """Whether the prompt holds this text already, or all of these."""
  texts = value if isinstance(value, list) else [value]
  whole = text_of(prompt)
  return all(isinstance(text, str) and _stands_in(text.strip(), whole) for text in texts)


def _stands_in(text: str, whole: str) -> bool:
  """Whether the text is a part of the other, from the beginning of a word to the end of one."""
  at = whole.find(text)
  if at < 0:
    return False
  begin, end = whole[:at], whole[at + len(text) :]
  is_inside = foreign_texts.is_inside_a_word
  return not is_inside(begin, text) and not is_inside(text, end)
