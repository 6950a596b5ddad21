"""How long XLA has compiled in this process: no run should pay for being the first of its shape."""

import math
import time

import jax

_EVENTS = (
  "/jax/core/compile/jaxpr_to_mlir_module_duration",
  "/jax/core/compile/backend_compile_duration",
)
_durations: list[float] = []  # jax's listeners are for the whole process, and so is this


def compile_seconds() -> float:
  return math.fsum(_durations)


def working_seconds() -> float:
  """A clock, to take differences of, that stands still while XLA compiles."""
  return time.perf_counter() - compile_seconds()


def _listen(event: str, duration: float, **_: object) -> None:
  if event in _EVENTS:
    _durations.append(duration)


# pyrefly: ignore[bad-argument-type]
jax.monitoring.register_event_duration_secs_listener(_listen)
