"""Texts of turns, as Anthropic's HH-RLHF writes them: "\\n\\nHuman: ...\\n\\nAssistant: ..."."""

import re

_TURN = re.compile(r"\n\n(Human|Assistant):[ ]?")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def is_dialogue(text: str) -> bool:
  """Whether the text begins with a human's turn and has one of the assistant."""
  return text.lstrip("\n").startswith("Human:") and "\n\nAssistant:" in text


def messages_of_dialogue(text: str) -> list[dict[str, str]]:
  """The turns as messages {"role", "content"}. Turns in a row of one speaker become one."""
  pieces = _TURN.split("\n\n" + text.lstrip("\n"))[1:]  # what is before the first turn is nothing
  messages: list[dict[str, str]] = []
  for speaker, content in zip(pieces[::2], pieces[1::2], strict=True):
    role, content = _ROLES[speaker], content.strip()
    if messages and messages[-1]["role"] == role:
      content = f"{messages.pop()['content']}\n\n{content}".strip()
    messages.append({"role": role, "content": content})
  return messages
