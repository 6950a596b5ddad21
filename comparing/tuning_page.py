"""The page of a tune alone, before anything is compared at the values that it found."""

from comparing import page, tuning


def render(folder: str) -> str:
  """The page as one HTML text that needs no other file."""
  return page.fill("tuning_page.html.j2", tunings=tuning.of([folder]))
