"""Messages of a row: those of chat APIs, of ShareGPT and of Vertex, as {role, content}."""

from collections.abc import Sequence
from typing import Any

from tasks.rows.key_table import OF_MESSAGES
from tasks.rows.row_words import is_empty, kind_of, listed

Message = dict[str, str]

_ROLES = ("system", "user", "assistant", "tool")
_OTHER_ROLES = {
  "developer": "system",  # OpenAI
  "human": "user",  # ShareGPT
  "gpt": "assistant",
  "observation": "tool",
  "function": "tool",
  "model": "assistant",  # Vertex, Gemma
}


def messages_of(
  value: Any, name: str, ignore: Sequence[str], problems: list[str]
) -> list[Message] | None:
  """The messages that a list, or one message, spells; None, with the problem, if it spells none.

  Args:
    ignore: keys of messages, and kinds of content, that are left out.
  """
  if isinstance(value, dict):
    value = listed(value) or [value]
  if not isinstance(value, list):
    problems.append(f"{name!r} is {kind_of(value)}, not text or a list of messages")
    return None
  found = []
  for i, message in enumerate(value):
    read = _message(message, ignore)
    if isinstance(read, str):
      problems.append(f"message {i + 1} of {name!r} {read}")
      return None
    found.append(read)
  return found


def text_of_parts(value: Any, ignore: Sequence[str] = ()) -> str | None:
  """The text of {"parts": [{"text"}]}, of a list of such parts, or of a text; else None."""
  if isinstance(value, dict):
    value = value.get("parts", value.get("content"))
  if isinstance(value, str):
    return value
  if not isinstance(value, list):
    return None
  texts = []
  for part in value:
    if not isinstance(part, dict):
      return None
    text = part.get("text")
    if isinstance(text, str):
      texts.append(text)
    elif not is_empty(part) and not {"images", str(part.get("type"))} & {*ignore}:
      return None
  return "".join(texts)


def _message(message: Any, ignore: Sequence[str]) -> Message | str:
  """The message, or a problem in words."""
  if not isinstance(message, dict):
    return f"is {kind_of(message)}, not {{role, content}}"
  role, content = message.get("role", message.get("from")), message.get("content")
  if content is None:
    content = message.get("value", message.get("parts"))
  if len(message) > 2:
    for key in OF_MESSAGES:
      if key in message and key not in ignore and not is_empty(message[key]):
        return f"has {key!r}, which is not read: --config.data.ignore={key} leaves it out"
    if content is None and "content" in message:
      content = ""  # beside tool calls that are left out
  if role is None or content is None:
    return "is not {role, content}"
  if role not in _ROLES:
    if not isinstance(role, str) or role not in _OTHER_ROLES:
      return f"has the role {role!r}, not {', '.join(_ROLES)}"
    role = _OTHER_ROLES[role]
  if not isinstance(content, str):
    text = text_of_parts(content, ignore)
    if text is None:
      return f"has content that is {kind_of(content)}, not text{_other_content(content)}"
    content = text
  return {"role": role, "content": content}


def _other_content(content: Any) -> str:
  kinds = [part.get("type") for part in content or () if isinstance(part, dict)]
  kind = next((kind for kind in kinds if isinstance(kind, str) and kind != "text"), "")
  return f" ({kind!r}: --config.data.ignore=images leaves it out)" if kind else ""
