"""How long a server of ours waits for a client: uvicorn's protocol, with a deadline.

uvicorn itself waits for ever for a request that does not end and for a client that does not read.
Here a request has PATIENCE seconds, and one more for each SLOWEST bytes that have arrived; so has a
client that leaves its answer lying. Of MOST connections the one that has kept us waiting longest
makes room for the next.
"""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE = 10.0  # seconds
SLOWEST = 10_000  # bytes a second
MOST = 512  # open connections; a process may often have 1,024 files


class WithDeadline(H11Protocol):
  """The talk of uvicorn with one client: `uvicorn.Config(..., http=WithDeadline)`."""

  waits_since = 0.0  # for the client, on the loop's clock; 0: it owes us nothing
  _received = 0
  _timer: asyncio.TimerHandle | None = None

  def connection_made(self, transport) -> None:  # uvloop has transports of its own
    super().connection_made(transport)
    if len(self.connections) > MOST:
      waiting = [c for c in self.connections if isinstance(c, WithDeadline) and c.waits_since]
      slowest = min(waiting, key=lambda one: one.waits_since, default=self)
      slowest.transport.abort()
    self._wait()

  def connection_lost(self, exc: Exception | None) -> None:
    self._wait_no_more()
    super().connection_lost(exc)

  def data_received(self, data: bytes) -> None:
    self._received += len(data)
    super().data_received(data)
    self._look()

  def on_response_complete(self) -> None:
    super().on_response_complete()
    self._look()  # a second request may have begun meanwhile

  def pause_writing(self) -> None:
    super().pause_writing()
    self._wait()

  def resume_writing(self) -> None:
    super().resume_writing()
    self._look()

  def _look(self) -> None:
    """Starts or ends the wait, as the client owes us something or not."""
    state = self.conn.their_state
    begun = state is h11.SEND_BODY or (state is h11.IDLE and self.conn.trailing_data[0] != b"")
    if not begun and not self.flow.write_paused:
      self._wait_no_more()
    elif self._timer is None:
      self._wait()

  def _wait(self) -> None:
    self._wait_no_more()
    self.waits_since, self._received = self.loop.time(), 0
    self._timer = self.loop.call_later(PATIENCE, self._due)

  def _wait_no_more(self) -> None:
    self.waits_since = 0.0
    if self._timer is not None:
      self._timer.cancel()
      self._timer = None

  def _due(self) -> None:
    now = self.loop.time()
    if self.flow.read_paused:  # it waits for us
      self.waits_since = now
    left = self.waits_since + PATIENCE + self._received / SLOWEST - now
    if left <= 0:
      self.transport.abort()
    else:
      self._timer = self.loop.call_later(left, self._due)
