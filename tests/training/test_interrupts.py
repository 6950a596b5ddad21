"""Interrupts that come where Python cannot raise them."""

import math
import signal
import sys
import time
import types
import weakref

import pytest

from training import interrupts


@pytest.fixture(autouse=True)
def as_in_a_command(monkeypatch):
  numbers = (signal.SIGINT, signal.SIGTERM)
  before = [signal.getsignal(number) for number in numbers]
  monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
  signal.signal(signal.SIGINT, signal.default_int_handler)
  interrupts.repeat_lost()
  yield
  for number, handler in zip(numbers, before, strict=True):
    signal.signal(number, handler)
  interrupts._Latest.raised = -math.inf


def interrupted_by(does):
  """Whether what it does interrupts this process, at once or soon, and wakes it."""
  interrupts._Latest.raised = -math.inf
  began = time.monotonic()
  with pytest.raises(KeyboardInterrupt):
    does()
    time.sleep(600)
  return time.monotonic() < began + 300


class Thing:
  pass


def call_back(does):
  """Calls it where what it raises reaches nobody."""
  thing = Thing()
  seen = weakref.ref(thing, lambda _: does())
  del thing
  assert seen() is None


def test_an_interrupt_that_a_callback_lost_comes_again(capfd):
  assert interrupted_by(lambda: call_back(lambda: signal.raise_signal(signal.SIGINT)))
  assert capfd.readouterr().err == ""


def test_a_lost_signal_comes_again_where_another_is_ignored():
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # as of what a script starts in the background
  signal.signal(signal.SIGTERM, interrupts.interrupt)
  assert interrupted_by(lambda: call_back(lambda: signal.raise_signal(signal.SIGTERM)))


class Lost(types.SimpleNamespace):
  """What Python hands to its hook; another interrupt comes while that looks at it."""

  @property
  def exc_type(self):
    signal.raise_signal(signal.SIGINT)
    return KeyboardInterrupt


def test_an_interrupt_while_another_is_looked_at_is_not_lost(monkeypatch):
  asked = []
  monkeypatch.setattr(interrupts, "_repeat", lambda: asked.append("again"))
  interrupts._after_a_callback(Lost())  # does not raise
  assert asked == ["again", "again"]


def test_a_second_signal_soon_after_the_first_does_not_break_off_what_ends():
  assert interrupted_by(lambda: signal.raise_signal(signal.SIGINT))
  assert -math.inf < interrupts._Latest.raised < math.inf
  interrupts._Latest.raised = time.monotonic() + 60  # however busy the machine is
  signal.raise_signal(signal.SIGINT)
  interrupts._Latest.raised -= 600
  with pytest.raises(KeyboardInterrupt):
    signal.raise_signal(signal.SIGINT)


def test_an_interrupt_while_an_error_is_printed_is_not_lost(capfd):
  class Failed(OSError):
    asked = False

    def __str__(self):
      if not Failed.asked:
        Failed.asked = True
        signal.raise_signal(signal.SIGINT)
      return "of a thread"

  def fail():
    raise Failed

  assert interrupted_by(lambda: call_back(fail))
  assert "of a thread" in capfd.readouterr().err
