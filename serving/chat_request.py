"""A request for chat completions, read from its JSON: those of OpenAI's fields that are served."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from serving.errors import ApiError, invalid
from serving.fields import Fields

MOST_ANSWERS = 8
MOST_STOPS = 4
MOST_MESSAGES = 2048
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
# What is not served, and the values with which it asks nothing.
_NEUTRAL = {
  **{name: (0, 0.0) for name in ("presence_penalty", "frequency_penalty", "top_logprobs")},
  **{name: ({}, []) for name in ("logit_bias", "tools", "functions")},
  "response_format": ({"type": "text"},),
  "tool_choice": ("none", "auto"),
  "function_call": ("none", "auto"),
  "parallel_tool_calls": (True, False),
  "modalities": (["text"],),
  "service_tier": ("auto", "default"),
  **{name: () for name in ("audio", "prediction", "web_search_options", "reasoning_effort")},
}
_FOR_OTHERS = ("user", "metadata", "store", "safety_identifier", "prompt_cache_key")  # no effect


@dataclasses.dataclass(frozen=True)
class ChatRequest:
  """n answers of a model to a conversation. `max_tokens` None: as many as the deployment has."""

  model: str
  messages: list[dict[str, str]]
  n: int
  temperature: float
  top_p: float
  max_tokens: int | None
  seed: int | None
  stop: tuple[str, ...]
  logprobs: bool
  stream: bool
  stream_usage: bool


def read(body: Mapping[str, Any]) -> ChatRequest:
  """The request in this body. ApiError names the first field that makes no sense."""
  fields = Fields(body)
  request = ChatRequest(
    model=fields.text("model"),
    messages=_messages(fields),
    n=fields.integer("n", 1, least=1, most=MOST_ANSWERS),
    temperature=fields.number("temperature", 1.0, least=0.0, most=2.0),
    top_p=fields.number("top_p", 1.0, least=0.0, most=1.0, open_at_least=True),
    max_tokens=_max_tokens(fields),
    seed=None
    if fields.get("seed") is None
    else fields.integer("seed", None, least=-(2**63), most=2**63 - 1),
    stop=_stop(fields),
    logprobs=fields.flag("logprobs"),
    stream=fields.flag("stream"),
    stream_usage=_stream_usage(fields),
  )
  for name, neutral in _NEUTRAL.items():
    fields.only(name, *neutral)
  for name in _FOR_OTHERS:
    fields.get(name)
  fields.done()
  return request


def _messages(fields: Fields) -> list[dict[str, str]]:
  given = fields.get("messages")
  if not isinstance(given, list) or not 1 <= len(given) <= MOST_MESSAGES:
    code = "missing_required_parameter" if given is None else "invalid_value"
    raise fields.wrong("messages", f"must be a list of 1 to {MOST_MESSAGES} messages", code)
  return [_message(f"messages[{i}]", message) for i, message in enumerate(given)]


def _message(where: str, message: Any) -> dict[str, str]:
  if not isinstance(message, dict):
    raise invalid(where, f"'{where}' must be an object with role and content.")
  fields = Fields(message, f"{where}.")
  role, content = fields.choice("role", list(ROLES)), fields.get("content")
  if isinstance(content, list):
    content = "".join(_part(f"{where}.content[{i}]", part) for i, part in enumerate(content))
  if not isinstance(content, str):
    raise fields.wrong("content", "must be a text, or a list of parts of type text")
  for name in ("name", "refusal", "annotations"):
    fields.get(name)
  for name in ("tool_calls", "function_call", "audio"):
    fields.only(name, [])
  fields.done()
  return {"role": ROLES[role], "content": content}


def _part(where: str, part: Any) -> str:
  if (
    not isinstance(part, dict)
    or part.get("type") != "text"
    or not isinstance(part.get("text"), str)
  ):
    raise invalid(
      where, f'\'{where}\' must be {{"type": "text", "text": ...}}: others are not read.'
    )
  return part["text"]


def _max_tokens(fields: Fields) -> int | None:
  given = [name for name in ("max_tokens", "max_completion_tokens") if fields.get(name) is not None]
  if len(given) == 2:
    raise fields.wrong("max_tokens", "and 'max_completion_tokens': give one of them")
  return fields.integer(given[0], None, least=1, most=2**31 - 1) if given else None


def _stop(fields: Fields) -> tuple[str, ...]:
  stop = fields.get("stop", [])
  stop = [stop] if isinstance(stop, str) else stop
  good = isinstance(stop, list) and all(isinstance(one, str) and one for one in stop)
  if not good or len(stop) > MOST_STOPS:
    raise fields.wrong("stop", f"must be a text, or a list of up to {MOST_STOPS} texts")
  return tuple(stop)


def _stream_usage(fields: Fields) -> bool:
  options = fields.section("stream_options")
  usage = options.flag("include_usage")
  options.get("include_obfuscation")
  options.done()
  return usage


def too_long(prompt: int, answer: int, most: int) -> ApiError:
  """The error that clients expect of a context that is too long; all in tokens."""
  return ApiError(
    400,
    f"This model's maximum context length is {most} tokens. However, you requested "
    f"{prompt + answer} tokens ({prompt} in the messages, {answer} in the completion). Please "
    "reduce the length of the messages or completion.",
    param="messages",
    code="context_length_exceeded",
  )
