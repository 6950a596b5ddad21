"""Continue the opening of a story; the reward is how cheerful the continuation is.

The small relative of the controlled-sentiment experiment of DPO (Rafailov et al., 2023, section
6.1), with the reward `vader`: a list of words with weights. It can be had without writing well
("happy happy happy"), so the reward shows over-optimisation, and the KL to the base policy says
what it cost.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np

from tasks.items import Item, traits
from tasks.tokenizers.tokenizer import Tokenizer

INSTRUCTION = "Continue this story: "  # for models that chat

HEROES = (
  ("girl", ("Lily", "Mia", "Anna", "Sue", "Lucy", "Amy", "Emma", "Jane", "Sara", "Molly")),
  ("boy", ("Tom", "Tim", "Ben", "Max", "Sam", "Jack", "Bob", "Leo", "John", "Billy")),
)
PLACES = (
  "in a house", "on a farm", "near a lake", "by the sea", "in a town", "by a river", "on a hill",
  "near a forest", "in a village", "at the end of a road", "on a boat", "behind a mountain",
)  # fmt: skip
EVENTS = (
  "went to the park", "found a box", "saw a big dog", "heard a noise", "opened a door",
  "met an old man", "climbed a tree", "walked in the rain", "dropped a cup", "wanted a red ball",
  "looked for a cat", "went into a cave", "took a bus", "sat on a rock", "lost a shoe",
  "saw a bird", "ran down the street", "looked out of the window", "asked for a cookie",
  "made a soup", "picked up a stick", "put on a hat", "took a toy", "saw a cloud",
)  # fmt: skip
DAYS = ("One day", "One morning", "One night", "Then")


@traits(reward="vader", answers="none", scores_unfinished=True)
def sentiment(tokenizer: Tokenizer) -> Iterator[Item]:
  """Openings to continue, in an order of their own; a continuation need not end.

  With a tokenizer that chats, the opening is put to the model as a request.
  """
  everything, request = openings(), INSTRUCTION if tokenizer.chats else ""
  for i in np.random.default_rng(0).permutation(len(everything)):
    yield Item(request + everything[i])


def openings() -> list[str]:
  """Every opening that the grammar makes, once."""
  return [
    f"Once upon a time, there was a {hero} named {name}. {subject} lived {place}. "
    f"{day}, {name} {event}."
    for hero, names in HEROES
    for name, place, day, event in product(names, PLACES, DAYS, EVENTS)
    for subject in ("She" if hero == "girl" else "He",)
  ]
