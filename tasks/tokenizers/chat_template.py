"""Chat templates: from messages to the text that a chat model was trained on.

A template is Jinja source that comes with a tokenizer. It is rendered as Hugging Face transformers
renders it (`utils/chat_template_utils.py`), but for the date: see `ChatTemplate`. That happens in a
process of its own, whose time and memory are limited (template_worker.py).
"""

import json
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

Message = Mapping[str, Any]  # {"role": "user", "content": "text"}

_TEXT: Message = {"role": "user", "content": "What is asked."}


class ChatTemplateError(ValueError):
  """The template is broken, takes too much, or refuses these messages."""


class ChatTemplate:
  """A template, with the special tokens that it may name.

  Templates that ask for the date always get the same one: a run that is resumed tomorrow, and the
  runs that it is compared with, must see the same prompts.
  """

  def __init__(self, source: str, special_tokens: Mapping[str, str]):
    """`special_tokens`: {"bos_token": "<s>", ...}. ChatTemplateError if it is no Jinja."""
    self._special_tokens, self._renderer = dict(special_tokens), _Renderer(source)
    try:
      self._renderer.open()
      self._wants_parts = not self._shows(_TEXT) and self._shows(_in_parts(_TEXT))
    except (_Refused, _Stopped) as error:
      raise ChatTemplateError(f"chat template {error}") from None

  def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = True) -> str:
    """The conversation as text; with what opens the assistant's turn, if that is to be generated.

    Raises:
      ChatTemplateError: the template refuses the messages (roles in an order that it does not know,
        a field that is missing), in its own words; or it takes too long, or writes too much.
    """
    if self._wants_parts:
      messages = [_in_parts(message) for message in messages]
    about = {"tools": None, "documents": None, "add_generation_prompt": add_generation_prompt}
    try:
      return self._rendered(messages, **about)
    except (_Refused, _Stopped) as error:
      roles = ", ".join(str(message.get("role")) for message in messages)
      raise ChatTemplateError(f"chat template, for messages of {roles}: {error}") from None

  def _shows(self, message: Message) -> bool:
    """Whether the message's text is in what the template makes of it."""
    try:
      return _TEXT["content"] in self._rendered([message])
    except _Refused:
      return False

  def _rendered(self, messages: Sequence[Message], **about: Any) -> str:
    plain = [dict(message) for message in messages]
    return self._renderer.ask({"messages": plain} | about | self._special_tokens)


class _Refused(Exception):
  """The worker's line on why there is no text."""


class _Stopped(Exception):
  """The worker came to its limit."""


class _Killed(_Stopped):
  """By a person, or for want of memory."""


class _Renderer:
  """The process of a template (template_worker.py); begun again where it came to its limit."""

  def __init__(self, source: str):
    self._source, self._lock = source, threading.Lock()
    self._processes: list[subprocess.Popen[str]] = []
    weakref.finalize(self, _end, self._processes)  # also when the interpreter ends

  def open(self) -> None:
    """Starts it with the template. _Refused: it is no Jinja; _Stopped: it takes too long."""
    _end(self._processes)
    path = os.pathsep.join(folder or os.getcwd() for folder in sys.path)
    process = subprocess.Popen(
      [sys.executable, "-m", "tasks.tokenizers.template_worker"],
      env={"PYTHONPATH": path},  # and no more: nothing of ours is a template's business
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL,  # of what it does when it comes to its limit
      encoding="utf-8",
      start_new_session=True,  # the terminal's ^C is not for it
    )
    self._processes.append(process)
    self._say(process, self._source)

  def ask(self, arguments: Mapping[str, Any]) -> str:
    """The text that it makes of these. _Refused, _Stopped: none.

    A process that somebody killed is begun again, once.
    """
    with self._lock:
      try:
        return self._ask(arguments)
      except _Killed:
        return self._ask(arguments)

  def _ask(self, arguments: Mapping[str, Any]) -> str:
    if not self._processes:
      self.open()
    return self._say(self._processes[0], arguments)

  def _say(self, process: subprocess.Popen[str], value: Any) -> str:
    assert process.stdin is not None and process.stdout is not None
    try:
      process.stdin.write(json.dumps(value) + "\n")
      process.stdin.flush()
      line = process.stdout.readline()
    except OSError:
      line = ""
    except BaseException:  # a ^C: the answer that is to come is not the next one's
      _end(self._processes)
      raise
    if not line:
      code = process.wait()  # it has closed its output, and so it ends
      _end(self._processes)
      if code == -signal.SIGKILL:  # its own limits end it otherwise
        raise _Killed("was killed")
      raise _Stopped("takes more time or memory than a template may, and was stopped")
    answer = json.loads(line)
    if "error" in answer:
      raise _Refused(answer["error"])
    return answer["text"]


def _end(processes: list[subprocess.Popen[str]]) -> None:
  for process in processes:
    process.kill()
    process.communicate()
  processes.clear()


def _in_parts(message: Message) -> dict[str, Any]:
  """As models that also read images have it: some of their templates leave a plain text out."""
  return {**message, "content": [{"type": "text", "text": message["content"]}]}
