"""Chat templates: from messages to the text that a chat model was trained on.

A template is Jinja source that comes with a tokenizer. It is rendered as Hugging Face transformers
renders it (`utils/chat_template_utils.py`), but for the date: see `ChatTemplate`.
"""

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

Message = Mapping[str, Any]  # {"role": "user", "content": "text"}

# The day that templates believe it is (Llama 3.2's own when it is told none).
TODAY = datetime.datetime(2024, 7, 26)
_TEXT: Message = {"role": "user", "content": "What is asked."}


class ChatTemplateError(ValueError):
  """The template is broken, or refuses these messages."""


class ChatTemplate:
  """A compiled template, with the special tokens that it may name.

  Templates that ask for the date always get the same one: a run that is resumed tomorrow, and the
  runs that it is compared with, must see the same prompts.
  """

  def __init__(self, source: str, special_tokens: Mapping[str, str]):
    """`special_tokens`: {"bos_token": "<s>", ...}. ChatTemplateError if it is no Jinja."""
    self._special_tokens = dict(special_tokens)
    try:
      self._template = _environment().from_string(source)
    except jinja2.TemplateSyntaxError as error:
      raise ChatTemplateError(f"chat template line {error.lineno}: {error.message}") from None
    self._wants_parts = not self._shows(_TEXT) and self._shows(_in_parts(_TEXT))

  def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = True) -> str:
    """The conversation as text; with what opens the assistant's turn, if that is to be generated.

    Raises:
      ChatTemplateError: the template refuses the messages (roles in an order that it does not know,
        a field that is missing), in its own words.
    """
    if self._wants_parts:
      messages = [_in_parts(message) for message in messages]
    try:
      return self._template.render(
        messages=messages,
        tools=None,
        documents=None,
        add_generation_prompt=add_generation_prompt,
        **self._special_tokens,
      )
    except (jinja2.TemplateError, TypeError) as error:
      roles = ", ".join(str(message.get("role")) for message in messages)
      raise ChatTemplateError(f"chat template, for messages of {roles}: {error}") from None

  def _shows(self, message: Message) -> bool:
    """Whether the message's text is in what the template makes of it."""
    try:
      return _TEXT["content"] in self._template.render(messages=[message], **self._special_tokens)
    except (jinja2.TemplateError, TypeError):
      return False


def _in_parts(message: Message) -> dict[str, Any]:
  """As models that also read images have it: some of their templates leave a plain text out."""
  return {**message, "content": [{"type": "text", "text": message["content"]}]}


def _environment() -> ImmutableSandboxedEnvironment:
  """Templates come with a download: they run in a sandbox that reaches and changes nothing."""
  environment = ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
  )
  environment.filters["tojson"] = _to_json
  ours: Any = {"raise_exception": _raise_exception, "strftime_now": TODAY.strftime}
  environment.globals.update(ours)
  return environment


class _Generation(Extension):
  """{% generation %} ... {% endgeneration %} marks the assistant's words: as if not there."""

  tags = {"generation"}

  def parse(self, parser) -> list[nodes.Node]:
    next(parser.stream)
    return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise_exception(message: str) -> None:
  raise jinja2.TemplateError(message)


def _to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False) -> str:
  """Unlike Jinja's own filter it escapes no HTML."""
  return json.dumps(
    value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
  )
