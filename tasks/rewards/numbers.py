"""The number that a solution ends in, however it is written."""

import re
from collections.abc import Sequence
from fractions import Fraction

from tasks.rewards.judged import judged_part

# Marks before an answer: the last counts that has a number. "####" is GSM8K's, "A:" its models'.
_MARK = re.compile(
  r"####|^[ \t>#-]*A:|\banswer\s*:|(?P<boxed>\\boxed\s*\{)|(?P<sentence>\banswer is\b)",
  re.MULTILINE | re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)")

_MONEY = r"(?:[$€£¥₹]\s?)?"
# -3  $1,080  $-2.50  .5  3/4  2 3/4  1e5  1.080,5; not the second half of 1.2.3, x7 or 2-3.
_NUMBER = re.compile(
  rf"(?<![\w.])(?P<sign>-?){_MONEY}(?P<minus>-?){_MONEY}(?:(?P<whole>\d+)[ \t]+(?=\d+/\d))?"
  r"(?:(?P<points>\d{1,3}(?:\.\d{3}){2,}(?!\.?\d)|\d{1,3}(?:\.\d{3})+(?=,\d))(?P<cents>,\d+)?"
  r"|(?P<number>(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+))"
  r"(?:[eE](?P<power>[+-]?\d{1,3})(?!\w))?(?P<divisor>/\d+)?"
)
_MOST_CHARACTERS = 100  # of a number, and of what is looked at before it and between two
_MINUS_BEFORE = re.compile(
  r"(?:\bnegative|(?:\A|[=:({\[,;>$]|\bis)\s*(?:-|\bminus\b))\s*\Z", re.IGNORECASE
)

# What may stand between two numbers: 40 or 41; 40, 41; 3 * 4 = 12.
_WRAPPING = re.compile(r"\\boxed\s*\{|\\[()\[\]]|[{}$]")
_OR = re.compile(
  r"(?:\s+[^\W\d]+){0,3}\s*(?:[,?]\s*)?\bor(?:\s+(?:maybe|perhaps|possibly|even|about|around))?\s*",
  re.IGNORECASE,
)
_COMMA = re.compile(r"[ \t]*(?:,[ \t]|[;|&/]|\band\b)?[ \t]*(?:and\b|or\b)?[ \t]*")
_LIST_GOES_ON = re.compile(r"[ \t]*(?:[,;|&/.)}$\n]|and\b|or\b|\Z)")
_OPERATOR = re.compile(r"[ \t)]*(?:[-+*/×÷x^]|\\times|\\cdot|\\div)[ \t(]*")  # noqa: RUF001
_EQUALS = re.compile(r"[ \t)%]*=[ \t(]*")

# What a number leaves of an answer that is more than a number.
_UNIT = re.compile(r"\\(?:text|mathrm)\s*\{[^{}\d\\]*\}|\^?\s*\{?\\circ\}?|\\[,;:! ]|\\[()\[\]]")
_MATHS = re.compile(r"[\d\\^<>√π∞±×÷·]")  # noqa: RUF001
_MATHS_BEHIND = re.compile(r"!|/|\s?\*?[xyzi]\b|\s*[-+*]")
_MATHS_BEFORE = re.compile(r"[-+*/]\s*\Z")
_PROSE = 4  # words: a solution, which may have other numbers than its last


def final_number(text: str) -> Fraction | None:
  """The number that a solution ends in (see `answers.numeric_answer`); None if there is none."""
  part, numbers, at, is_marked = _found(text)
  values = {_value(part, n) for n in _alternatives(part, numbers, at, is_marked)}
  return values.pop() if len(values) == 1 else None


def gives_several(text: str) -> bool:
  """Whether a solution ends in several numbers, "40 or 41", and so in no answer."""
  part, numbers, at, is_marked = _found(text)
  return len({_value(part, n) for n in _alternatives(part, numbers, at, is_marked)}) > 1


def whole_number(answer: str) -> Fraction:
  """The number that a known answer is. ValueError if it is none, or more than a number."""
  part, numbers, at, is_marked = _found(answer)
  value = final_number(answer)
  if not numbers:
    raise ValueError(f"the answer {answer[:80]!r} has no number")
  before, behind = part[: numbers[at].start()], part[numbers[at].end() :]
  rest = _UNIT.sub("", f"{before} {behind}")
  is_solution = not is_marked and len(re.findall(r"[^\W\d]{2,}", part)) >= _PROSE
  is_sequence = re.fullmatch(r"[-\d.\s]+", part) is not None  # in steps, of which the last counts
  more = _MATHS.search(rest) or _MATHS_BEHIND.match(behind) or _MATHS_BEFORE.search(before)
  if value is None or (more and not is_solution and not is_sequence):
    raise ValueError(
      f"the answer {part.strip()[:80]!r} is more than a number: use the reward 'math', or 'exact'"
    )
  return value


def _found(text: str) -> tuple[str, list[re.Match[str]], int, bool]:
  """The part of the text that counts, its numbers, the place of the final one, and is it marked?"""
  text = _in_one_spelling(judged_part(text))
  marks = list(_MARK.finditer(text))
  ends = [*(mark.start() for mark in marks), len(text)][1:]
  for mark, end in reversed([*zip(marks, ends, strict=False)]):
    behind = _SPACED_THOUSANDS.sub(_with_commas, _behind(text, mark, end))
    if numbers := list(_NUMBER.finditer(behind)):
      return behind, numbers, _result(behind, numbers), True
  numbers = list(_NUMBER.finditer(text))
  return text, numbers, len(numbers) - 1, False


def _behind(text: str, mark: re.Match[str], end: int) -> str:
  """The text that a mark marks: to the next mark, its closing brace, or the end of the sentence."""
  behind = text[mark.end() : end]
  if mark["sentence"]:
    return _SENTENCE_END.split(behind, maxsplit=1)[0]
  if mark["boxed"]:
    depth = 1
    for at, character in enumerate(behind):
      depth += (character == "{") - (character == "}")
      if not depth:
        return behind[:at]
  return behind


def _result(text: str, numbers: Sequence[re.Match[str]]) -> int:
  """The place of the first number, or of what a calculation that begins with it comes to."""
  result, is_calculation = 0, False
  for at in range(1, len(numbers)):
    between = text[numbers[at - 1].end() : numbers[at].start()]
    if _OPERATOR.fullmatch(between) or (not between and numbers[at][0].startswith("-")):
      is_calculation = True
    elif is_calculation and _EQUALS.fullmatch(between):
      result = at
    else:
      break
  return result


def _alternatives(
  text: str, numbers: Sequence[re.Match[str]], at: int, is_marked: bool
) -> Sequence[re.Match[str]]:
  """The final number with those beside it: "40 or 41", and behind a mark "40, 41"."""

  def is_joined(one: int) -> bool:  # to the next
    gap = slice(numbers[one].end(), numbers[one + 1].start())
    if gap.stop - gap.start > _MOST_CHARACTERS:
      return False
    between = _WRAPPING.sub(" ", text[gap])
    goes_on = is_marked and _LIST_GOES_ON.match(text, numbers[one + 1].end())
    return bool(_OR.fullmatch(between) or (goes_on and _COMMA.fullmatch(between)))

  first = last = at
  while first > 0 and is_joined(first - 1):
    first -= 1
  while 0 <= last < len(numbers) - 1 and is_joined(last):
    last += 1
  return numbers[max(first, 0) : last + 1]


def _value(text: str, found: re.Match[str]) -> Fraction | None:
  """None for a number that is none, or takes too long to compute."""
  if len(found[0]) > _MOST_CHARACTERS:
    return None
  digits = found["number"] or found["points"].replace(".", "") + (found["cents"] or "")
  digits = digits.replace(",", "" if found["number"] else ".")
  value = Fraction(digits) * Fraction(10) ** int(found["power"] or 0)
  divisor = int((found["divisor"] or "/1")[1:])
  if not divisor:
    return None
  value = value / divisor + int(found["whole"] or 0)
  start = found.start()
  before = _MINUS_BEFORE.search(text, max(start - _MOST_CHARACTERS, 0), start)
  is_negative = found["sign"] or found["minus"] or before
  return -value if is_negative else value


def _in_one_spelling(text: str) -> str:
  for spelling, instead in _SPELLINGS:
    text = spelling.sub(instead, text)
  return text


def _with_commas(found: re.Match[str]) -> str:
  return found[0].replace(" ", ",")


def _in_one_box(found: re.Match[str]) -> str:
  return f"\\boxed{{{found[1]} {found[2]} "


def _fraction(found: re.Match[str]) -> str:
  is_mixed = found.string[found.start() - 1 : found.start()].isdigit()
  return f"{' ' * is_mixed}{found[1] or found[2]}/{found[3] or found[4]}"


# What is written in several ways is brought into one, in this order.
_SPELLINGS = (
  (re.compile("[\u2010-\u2013\u2212\ufe63\uff0d]"), "-"),  # a minus, and dashes in its place
  (re.compile(r"(?<![\w*])[*_]+(?=[^\s*_])|(?<=[^\s*_])[*_]+(?![\w*])"), ""),  # **12**
  (re.compile(r"\\boxed\s*\{([^{}]*)\}\$?\s*(,|or\b|and\b)\s*\$?\\boxed\s*\{"), _in_one_box),
  (re.compile(r"\\(?=[$%])|\\(?:left|right)(?![a-zA-Z])"), ""),
  (re.compile(r"\\[dt]?frac\s*(?:\{\s*(\d+)\s*\}|(\d))\s*(?:\{\s*(\d+)\s*\}|(\d))"), _fraction),
  (re.compile("(?<=\\d)(?:\\{,\\}|\\\\,|['\u2019_\u00a0\u2009\u202f])(?=\\d{3}(?!\\d))"), ","),
  # A thousand, since no number begins with a 0; behind a mark also where no group does.
  (re.compile(r"(?<![\w.,])\d{1,3}(?: 0\d\d)(?: \d{3})*(?!\d)"), _with_commas),
)
_SPACED_THOUSANDS = re.compile(r"(?<![\w.,])\d{1,3}(?: \d{3})+(?![\d.]*\d| \d)")
