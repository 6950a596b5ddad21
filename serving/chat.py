"""One thread that draws all answers: requests that come together for one policy share a batch.

A batch draws segment after segment, in turn with up to three others, so that a short request waits
for no more than a segment of a long one. All programs are compiled, and all policies loaded, in
this thread: no shape is compiled twice.
"""

import dataclasses
import threading
from collections.abc import Callable, Sequence
from functools import partial

from serving.answer import Answer
from serving.batches import SHORTEST_PROMPT, SIZES, Batch, Row, doubled
from serving.errors import ApiError
from serving.policies import Policies

WAITING = 512  # requests; more are refused
ACTIVE = 4  # batches that draw in turn


@dataclasses.dataclass(eq=False)
class Asked:
  """A request of a batch's rows. `news()` is called, in the drawing thread, after each segment."""

  folder: str  # of the policy
  rows: Sequence[Row]
  news: Callable[[], None]
  is_left: bool = False  # whoever asked has gone
  failure: Exception | None = None

  @property
  def answers(self) -> list[Answer]:
    return [row.answer for row in self.rows]

  @property
  def is_done(self) -> bool:
    return all(answer.finish_reason for answer in self.answers)

  @property
  def kind(self) -> tuple[str, int]:
    """Requests of one kind share a batch."""
    return self.folder, doubled(SHORTEST_PROMPT, max(len(row.prompt) for row in self.rows))


class Chat:
  """Draws the answers to what is asked; `start` it once."""

  def __init__(self, policies: Policies):
    self._policies = policies
    self._waiting: list[Asked] = []
    self._active: list[tuple[Batch, list[Asked]]] = []
    self._changed = threading.Condition()
    self._thread = threading.Thread(target=self._draw_on, name="chat", daemon=True)

  def warm_up(self, folder: str) -> None:
    """Loads this policy and compiles for short requests, so that nobody waits for it later."""
    policies, tokenizer = self._policies, self._policies.parts.task.tokenizer
    for size in SIZES:
      rows = [
        Row([tokenizer.eos_id], 1.0, 1.0, (0, i), Answer(i, tokenizer, 1, ())) for i in range(size)
      ]
      Batch(policies.parts, policies.params(folder), rows).advance()

  def start(self) -> None:
    self._thread.start()

  def ask(self, asked: Asked) -> None:
    """Queues it. ApiError if too many wait."""
    with self._changed:
      if len(self._waiting) >= WAITING:
        raise ApiError(429, f"{WAITING} requests wait already. Ask again soon.", code="queue_full")
      self._waiting.append(asked)
      self._changed.notify()

  def _draw_on(self) -> None:
    while True:
      with self._changed:
        while not self._waiting and not self._active:
          self._changed.wait()
        together = self._take() if len(self._active) < ACTIVE else []
      if together:
        self._try(together, partial(self._begin, together))
      for batch, asked in self._active:
        self._try(asked, batch.advance)
      self._active = [(batch, asked) for batch, asked in self._active if _goes_on(batch, asked)]

  def _take(self) -> list[Asked]:
    """The request that waits longest, and as many of its kind as a batch holds."""
    self._waiting = [asked for asked in self._waiting if not asked.is_left]
    together, left, room = [], [], SIZES[-1]
    for asked in self._waiting:
      if len(asked.rows) <= room and (not together or asked.kind == together[0].kind):
        together.append(asked)
        room -= len(asked.rows)
      else:
        left.append(asked)
    self._waiting = left
    return together

  def _begin(self, together: list[Asked]) -> None:
    rows = [row for asked in together for row in asked.rows]
    params = self._policies.params(together[0].folder)
    self._active.append((Batch(self._policies.parts, params, rows), together))

  def _try(self, asked: list[Asked], do: Callable[[], None]) -> None:
    """Does it for these requests; a failure (of memory, of a file) is theirs alone."""
    try:
      do()
    except Exception as error:  # the thread must live on, whatever it is
      for one in asked:
        one.failure = error
    for one in asked:
      one.news()


def _goes_on(batch: Batch, asked: list[Asked]) -> bool:
  if any(one.failure for one in asked):
    return False
  return not all(one.is_done or one.is_left for one in asked)
