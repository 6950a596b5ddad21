"""Where work that may take long tells how far it is, to whoever shows that, if anybody does."""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

# (what is done, how much of it was done, of how much)
Listener = Callable[[str, int, int], None]
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextlib.contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
  """While this is open, the listener is told."""
  token = _listener.set(listener)
  try:
    yield
  finally:
    _listener.reset(token)


@contextlib.contextmanager
def told(what: str, total: int) -> Iterator[Callable[[int], None]]:
  """Gives a function to call now and then with how much was done until then."""
  listener = _listener.get()

  def done(count: int) -> None:
    if listener is not None:
      listener(what, count, total)

  yield done
  done(total)
