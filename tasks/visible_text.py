"""Texts of others, made safe to print: of a model, a data set, a reward function, an exception."""

import unicodedata

# Controls, directions of writing, lone surrogates, line ends.
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def visible(text: str) -> str:
  r"""The text with what a terminal would obey or hide escaped, \x1b. Lines stay lines."""
  return "".join(escaped(one) if is_unseen(one) else one for one in text)


def is_unseen(character: str) -> bool:
  return unicodedata.category(character) in _UNSEEN and character != "\n"


def escaped(character: str) -> str:
  return character.encode("unicode_escape").decode()
