"""Texts that a model or a data set wrote, made safe to print in a terminal."""

import unicodedata

from rich.text import Text

_UNSEEN = {
  "Cc",
  "Cf",
  "Cs",
  "Zl",
  "Zp",
}  # controls, directions of writing, lone surrogates, line ends


def safe_text(text: str, style: str = "") -> Text:
  r"""The text as it stands, never markup; what a terminal would obey or hide is escaped: \x1b.

  Lines stay lines.
  """
  shown = Text(style=style)
  for character in text:
    if unicodedata.category(character) in _UNSEEN and character != "\n":
      escaped = character.encode("unicode_escape").decode()
      shown.append(escaped, "reverse")
    else:
      shown.append(character)
  return shown
