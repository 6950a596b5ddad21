"""Texts that are something else than they seem: templates, messages as JSON, half words."""

import ast
import json
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from tasks.rows.row import Prompt

_MARK = re.compile(
  r"<\|(?:start|message|channel|return|call|start_of_role|end_of_role|im_start|im_end|start_header_id|end_header_id|header_start|header_end|eot|eot_id|eom_id|"
  r"begin_of_text|end_of_text|startoftext|endoftext|system|user|assistant|end|"
  r"START_OF_TURN_TOKEN|END_OF_TURN_TOKEN|CHATBOT_TOKEN|USER_TOKEN)\|>"
  r"|<(?:start|end)_of_turn>|<[be]os>|<｜(?:User|Assistant|begin▁of▁sentence|end▁of▁sentence)｜>|\[/INST\]"
)
_STARTS = "[{ \t\r\n"
_MESSAGES = re.compile(r"""\s*\[?\s*\{\s*["'](?:role|from|content|value)["']\s*:""")
# Scripts that write no spaces between words: where one ends is not to be seen.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff]")


def faults(prompt: Prompt | None, responses: Sequence[Any]) -> list[str]:
  """Why a prompt or a response is no text that a model should be shown, a line each."""
  contents = [prompt] if isinstance(prompt, str) else [content for _, content in prompt or ()]
  texts = [text for text in responses if isinstance(text, str)]
  if _is_plain("".join([*contents, *texts])):  # nearly always, and one look is quicker
    return []
  names = ["the prompt"]
  if not isinstance(prompt, str):
    names = [f"message {i + 1} of the prompt" for i in range(len(contents))]
  named = [*zip(names, contents, strict=True)]
  named += [(f"response {i + 1}", text) for i, text in enumerate(responses)]
  found = ((name, fault(text)) for name, text in named if isinstance(text, str))
  return [f"{name} {what}" for name, what in found if what]


def _is_plain(text: str) -> bool:
  """Whether nothing can be wrong with a text."""
  return text.isascii() and "<" not in text and "[/INST]" not in text


def fault(text: str) -> str:
  """The fault of a text, in words; "" where it has none."""
  if _is_plain(text):
    return ""
  try:
    text.encode()
  except UnicodeEncodeError as error:
    half = f"U+{ord(text[error.start]):04X}"
    return f"holds half a character ({half}, character {error.start + 1}), which has no tokens"
  if found := _MARK.search(text):
    return (
      f"is rendered in a chat template already ({found[0]!r}), and this run's own would come "
      "around it: bring messages, or the text alone"
    )
  if text.endswith("</s>") and "<s>" not in text:
    return "ends with '</s>', the end token of some models: leave it out, this run adds its own"
  return ""


def messages_in(text: str) -> Any:
  """The messages that a text spells as JSON, or as Python prints them; None if it spells none.

  ValueError when it begins as such and does not go on so.
  """
  if text[:1] not in _STARTS or not _MESSAGES.match(text):
    return None
  for read in (json.loads, ast.literal_eval):
    try:
      found = read(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
      continue
    return [found] if isinstance(found, dict) else found
  raise ValueError("begins like messages in JSON, and is not JSON")


def is_inside_a_word(before: str, after: str) -> bool:
  """Whether a text that is cut here is cut in a word, a number or a character."""
  last, first = before[-1:], after[:1]
  if not last or not first:
    return False
  if unicodedata.combining(first) or first in "\ufe0f\u200d" or last == "\u200d":
    return True
  if not first.isalnum() or _UNSPACED.match(first):
    return False
  if last in "'’.," and (last in "'’" or first.isdigit()):  # "don't", "3.14", "1,080"
    last = before[-2:-1]
    return last.isdigit() if first.isdigit() else last.isalpha()
  return last.isalnum() and not _UNSPACED.match(last)


def without_prompt(prompt: str, responses: tuple[str, ...]) -> tuple[str, ...]:
  """The responses, cut after the prompt where each of them repeats all of it.

  A prompt of one word ("Hello") is no prompt repeated: answers begin so, too.
  """
  for response in responses:
    if not response.startswith(prompt):
      return responses
  cut = tuple(response[len(prompt) :] for response in responses)
  is_apart = prompt[-1:].isspace() or all(rest[:1].isspace() for rest in cut)
  is_long = len(prompt.split()) > 1
  return cut if is_apart and is_long and all(rest.strip() for rest in cut) else responses
