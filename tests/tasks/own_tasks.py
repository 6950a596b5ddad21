"""Tasks as a user may write them, good and bad."""

import functools

from tasks import Item, traits


@traits(reward="numeric", answers="compared")
def countdown(prompts, *, step: int = 1, word: str = ""):
  for n in range(prompts):
    yield Item(f"{word}{n + step}-{step}=", answer=str(n))


def plain():
  """Without traits, every prompt twice, and ten of them."""
  return [Item(f"{n // 2}", "yes") for n in range(20)]


def repeats():
  while True:
    yield Item("always", "the same")


def without_answers(prompts):
  return [Item(str(n)) for n in range(prompts)]


def raises(prompts):
  yield Item("1", "1")
  raise KeyError("second")  # line 30


def gives_nothing(prompts):
  return None


def gives_pairs(prompts):
  return [Item("1", "1"), ("2", "2")]


def asks_for_a_prompt(prompt):
  return []


def asks_for_all_rows(rows, scored_rows):
  return []


def needs(prompts, *, size: int):
  return []


def any_options(**options):
  return []


def mutable(*, words=["a"]):  # noqa: B006
  return []


@traits(answers="none", reward="vader")
def request(rows):
  """Leaves out the prompts that are marked."""
  for row in rows:
    if not row.prompt.endswith("!"):
      yield Item(f"Please: {row.prompt}")


@functools.cache
@traits(reward="length(max=3)")
def wrapped():
  return ()


ANSWERS = "compared"


@traits(answers=ANSWERS)
def by_name():
  return ()


NO_FUNCTION = 3
