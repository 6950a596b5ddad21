"""The programs of a run as compiled for a target, in lines to read."""

import collections
from collections.abc import Iterator

from training.memory import size_text
from training.parts import Parts
from training.targets.chips import Target
from training.targets.compiling import USABLE, Compiled

NOTE = (
  "An estimate, and a bound from above: the time is the longest of compute, memory and network at\n"
  "the chip's published rates, as if the other two hid behind it; prompts and responses are taken\n"
  "at their full lengths. FLOPs by hand are those that the mathematics needs; as compiled, those\n"
  "of the program's matrix products, a loop's body as often as it goes round (so not those of\n"
  "cost_analysis, which counts it once): what is computed again, or masked, is in them."
)

_ROW = "{:<10} {:>10} {:>6} {:>9} {:>12} {:>5}  {}"
ROW_HEAD = _ROW.format("program", "memory", "", "at least", "tokens/s", "peak", "runs")


def head(parts: Parts, target: Target) -> str:
  """One line: the chips, and the mesh on them."""
  mesh = " x ".join(f"{axis} {n}" for axis, n in parts.mesh.shape.items())
  memory = size_text(target.chip.hbm_bytes)
  return f"target {target.name}: {target}, {memory} of memory each; mesh {mesh}"


def end(parts: Parts, found: list[Compiled]) -> str:
  """How to read it; and what to change, if there is something that does not fit."""
  return NOTE if all(one.fits for one in found) else f"{NOTE}\n\n{too_much(parts, found)}"


def of_program(one: Compiled) -> Iterator[str]:
  """The rows of one program."""
  chip = one.target.chip
  verdict = "" if one.fits else "  DOES NOT FIT"
  share = one.needed / chip.hbm_bytes
  yield f"\n{one.program.name}  (compiled in {one.compile_seconds:.0f} s){verdict}"
  listed = ", ".join(f"{name} {size_text(size)}" for name, size in one.memory.items() if size)
  yield _row("memory", f"{size_text(one.needed)}, {share:.0%} of a device's: {listed}")
  if estimated := one.program.estimated:
    ratio = estimated / one.needed
    yield _row("", f"{size_text(estimated)} by the estimate of --dry_run, {ratio:.2f} times that")
  if one.counts is None or one.roofline is None:
    return
  by_hand, did = one.program.flops / one.target.devices, one.counts
  whole = did.flops + did.float32_flops
  slow = f", {did.float32_flops / whole:.0%} of them in float32" if did.float32_flops else ""
  yield _row(
    "FLOPs a device",
    f"{_count(by_hand)} by hand, {_count(whole)} as compiled ({whole / by_hand:.2f} times){slow}",
  )
  for name, times in did.kernels.items():
    yield _row("", f"among them {times} calls of the kernel {name}, with what it masks")
  for name, times in did.unknown.items():
    yield _row("", f"not among those compiled: {times} calls of the kernel {name}")
  yield _row("memory traffic", f"{_count(did.bytes)}B a device")
  for row in _exchanges(one):
    yield _row("network", row)
  roof = one.roofline
  each = ", ".join(f"{n} {_seconds(getattr(roof, n))}" for n in ("compute", "memory", "network"))
  yield _row("time, at least", f"{_seconds(roof.seconds)}, bound by {roof.bound_by} ({each})")
  yield _row(
    "at most",
    f"{one.program.tokens / roof.seconds:,.0f} tokens/s, {one.share_of_peak:.0%} of the peak rate",
  )


def row(one: Compiled, runs: str) -> str:
  """The program in one row under `ROW_HEAD`, and the runs that have it."""
  name, memory = one.program.name, size_text(one.needed)
  share = f"{one.needed / one.target.chip.hbm_bytes:.0%}"
  if one.roofline is None or not one.fits:
    return _ROW.format(name, memory, share, "DOES NOT", "FIT", "", runs)
  seconds = one.roofline.seconds
  rates = f"{one.program.tokens / seconds:,.0f}", f"{one.share_of_peak:.0%}"
  return _ROW.format(name, memory, share, _seconds(seconds), *rates, runs)


def too_much(parts: Parts, found: list[Compiled]) -> str:
  """The programs that do not fit, and the fields that make them smaller."""
  config = parts.config
  names = " and ".join(one.program.name for one in found if not one.fits)
  knobs = [f"mesh.fsdp (now {config.mesh.fsdp})", f"micro_batches (now {config.micro_batches})"]
  if parts.model.remat != "layers":
    knobs.append(f"model.remat=layers (now {parts.model.remat})")
  return (
    f"not enough memory for {names} ({USABLE:.0%} of a device's is there to use). "
    f"Raise {', '.join(knobs)}, or lower batch_prompts (now {config.batch_prompts})"
  )


def _exchanges(one: Compiled) -> Iterator[str]:
  """A row for each kind of exchange and axis, the longest first."""
  if one.counts is None or not one.counts.collectives:
    yield "none"
    return
  times, sizes = collections.Counter(), collections.Counter()
  seconds: dict[tuple[str, str], float] = collections.defaultdict(float)
  for exchange, often in one.counts.collectives:
    key = exchange.kind, exchange.axes
    times[key] += often
    sizes[key] += often * exchange.bytes
    seconds[key] += often * exchange.seconds
  for key, duration in sorted(seconds.items(), key=lambda item: -item[1]):
    kind, axes = key
    yield f"{times[key]} {kind} over {axes}: {_count(sizes[key])}B, {_seconds(duration)}"


def _row(name: str, text: str) -> str:
  return f"  {name:<15} {text}"


def _count(number: float) -> str:
  """12345678 -> "12.3 M"."""
  for unit, size in (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
    if number >= size:
      return f"{number / size:.3g} {unit}"
  return f"{number:.3g} "


def _seconds(seconds: float) -> str:
  for unit, size in (("s", 1.0), ("ms", 1e-3)):
    if seconds >= size:
      return f"{seconds / size:.3g} {unit}"
  return f"{seconds / 1e-6:.3g} µs"
