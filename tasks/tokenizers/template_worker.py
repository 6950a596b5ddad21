"""A process that renders one chat template: `python -m tasks.tokenizers.template_worker`.

It reads JSON, a line each: first the template's source, then the arguments of each rendering. It
answers each line with {"text"} or {"error"}: a line of why there is none.

A template comes with a download, and Jinja is a language: `'a' * 10**9` is one. So it runs in a
sandbox that reaches and changes nothing, and in a process that may take so much time and memory.
"""

import datetime
import json
import resource
import signal
import sys
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

SECONDS = 2.0  # of the processor, for one rendering
MEMORY = 1 << 30  # bytes of addresses
LONGEST = 1_000_000  # characters that a template may add to those that it is given
# The day that templates believe it is (Llama 3.2's own when it is told none).
TODAY = datetime.datetime(2024, 7, 26)


def main() -> int:
  resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
  template: Any = None
  for line in sys.stdin:
    # At the limit the kernel ends the process, also within one operation on a long text.
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
      if template is None:
        template, answer = environment().from_string(json.loads(line)), {"text": ""}
      else:
        answer = {"text": _rendered(template, json.loads(line), len(line))}
    except Exception as error:  # whatever a template makes of Jinja, and of Python through it
      answer = {"error": _reason(error)}
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    print(json.dumps(answer), flush=True)
  return 0


def _rendered(template: jinja2.Template, arguments: dict[str, Any], given: int) -> str:
  pieces, left = [], LONGEST + given
  for piece in template.generate(**arguments):
    left -= len(piece)
    if left < 0:
      raise jinja2.TemplateError(f"it writes {LONGEST:,} characters more than it was given")
    pieces.append(piece)
  return "".join(pieces)


def _reason(error: Exception) -> str:
  if isinstance(error, jinja2.TemplateSyntaxError):
    return f"line {error.lineno}: {error.message}"
  if isinstance(error, MemoryError):
    return f"it takes more than {MEMORY >> 20:,} MiB"
  if isinstance(error, RecursionError):
    return "it calls itself without an end"
  if isinstance(error, jinja2.TemplateError | TypeError):
    return str(error)
  return f"{type(error).__name__}: {error}"


def environment() -> ImmutableSandboxedEnvironment:
  """Jinja as Hugging Face transformers sets it up, but for the date."""
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


if __name__ == "__main__":
  sys.exit(main())
