"""Interrupts that come where Python cannot raise them."""

import contextlib
import gc
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


def until_interrupted():
  began = time.monotonic()
  with pytest.raises(KeyboardInterrupt):
    time.sleep(600)
  assert time.monotonic() < began + 300  # it woke the process


class Thing:
  pass


def call_back(does):
  """Calls it where what it raises reaches nobody."""
  thing = Thing()
  seen = weakref.ref(thing, lambda _: does())
  del thing
  gc.collect()
  assert seen() is None


def test_an_interrupt_that_a_callback_lost_comes_again(capfd):
  call_back(lambda: signal.raise_signal(signal.SIGINT))
  until_interrupted()
  assert capfd.readouterr().err == ""


def test_a_lost_signal_comes_again_where_another_is_ignored():
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # as of what a script starts in the background
  signal.signal(signal.SIGTERM, interrupts.interrupt)
  call_back(lambda: signal.raise_signal(signal.SIGTERM))
  until_interrupted()


class Lost(types.SimpleNamespace):
  """What Python hands to its hook; another interrupt comes while that looks at it."""

  @property
  def exc_type(self):
    signal.raise_signal(signal.SIGINT)
    return KeyboardInterrupt


def test_an_interrupt_while_another_is_looked_at_is_not_lost():
  interrupts._after_a_callback(Lost())
  until_interrupted()
  with contextlib.suppress(KeyboardInterrupt):  # the other, if it did not come at the same time
    time.sleep(0.5)


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

  call_back(fail)
  until_interrupted()
  assert "of a thread" in capfd.readouterr().err
