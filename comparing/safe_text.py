"""Texts of others on a screen with colours: none is taken for markup, none is obeyed."""

from rich.text import Text

from tasks.visible_text import escaped, is_unseen


def safe_text(text: str, style: str = "") -> Text:
  r"""The text as it stands, never markup; what a terminal would obey or hide is escaped: \x1b.

  Lines stay lines.
  """
  shown = Text(style=style)
  for character in text:
    if is_unseen(character):
      shown.append(escaped(character), "reverse")
    else:
      shown.append(character)
  return shown
