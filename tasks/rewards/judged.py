"""The part of a response that is judged: its answer, not the thoughts before it."""

import re

_THOUGHTS = re.compile(
  r"<\s*(?:(?P<end>/)\s*)?(?:think|thinking|thought|reasoning)\s*>|\[(?P<other_end>/?)THINK\]",
  re.IGNORECASE,
)
_ANSWER = re.compile(r"<\s*answer\s*>", re.IGNORECASE)
_ANSWER_END = re.compile(r"<\s*/\s*answer\s*>", re.IGNORECASE)


def judged_part(completion: str) -> str:
  """The text in the last <answer>, or else after </think>, or else all of it.

  A prompt may have opened the thoughts, so that a response only closes them; thoughts that never
  end hold no answer.
  """
  tags = list(_THOUGHTS.finditer(completion))
  start = max((tag.end() for tag in tags if tag["end"] or tag["other_end"]), default=0)
  thinks_on = min((tag.start() for tag in tags if tag.start() >= start), default=len(completion))
  said = completion[start:thinks_on]
  *_, last = (None, *_ANSWER.finditer(said))
  return said if last is None else _ANSWER_END.split(said[last.end() :], maxsplit=1)[0]
