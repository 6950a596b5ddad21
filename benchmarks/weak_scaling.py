"""Exchanges of one device of 4 to 1,024 in an update of Qwen3-8B, by axis of the mesh; on paper.

python -m benchmarks.weak_scaling            writes the table into docs/scaling.md
python -m benchmarks.weak_scaling --check    compiles the update for 4 and 16 H100s, and compares

The work of a shard is the same whatever their number: one prompt of 256 tokens, 8 responses of
1,792. Bytes are whole arrays, as `training/targets/collectives.py` counts them.
"""

import dataclasses
import json
import math
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.sizes import Shape
from benchmarks.targets import END, PAGE
from configs.models import qwen3
from experiments.command_line import cli
from training import flops
from training.records.files import write_atomically
from training.targets import chips

SIZE, TARGET, VOCABULARY = "8b", "v5p", 151936
LOGITS = 2**28  # at once on a device
BATCH = flops.Batch(prompts=1, group_size=8, prompt_tokens=256, response_tokens=1792)
CHECKED = ((1, 4, 1), (1, 16, 1), (4, 4, 1), (1, 4, 4))
BEGIN = "<!-- weak scaling: table -->\n"
FLAGS = {"check": (False, "compile for 4 and 16 chips, and compare")}


def shape_of(size: str) -> Shape:
  """The numbers of a Qwen3."""
  numbers: dict[str, Any] = {"vocab_size": VOCABULARY, **qwen3.SIZES[size], **qwen3.SHARED}
  return Shape(**{field.name: numbers[field.name] for field in dataclasses.fields(Shape)})


MODEL = shape_of(SIZE)


def exchanged(data: int, fsdp: int, tensor: int) -> dict[str, float]:
  """Bytes of one device in an update with `model.remat=layers`, in bfloat16, by axis.

  Gathered over fsdp: the layers' weights twice (forward, and computed again with the backward
  pass), the head twice for each stretch of logits; scattered: the gradient of each once. Over data
  the gradients' shards are summed. Over tensor five arrays of activations a layer are.
  """
  layers, table = 2 * flops.layer_weights(MODEL), 2 * VOCABULARY * MODEL.d_model
  predicted = BATCH.responses * BATCH.response_tokens
  stretches = math.ceil(predicted * VOCABULARY / LOGITS)
  read = BATCH.prompt_tokens + BATCH.responses * (BATCH.response_tokens - 1)
  activations = 2 * read * MODEL.d_model
  found = {
    "data": (layers + 3 * table) / (fsdp * tensor),  # the embedding's gradient is float32
    "fsdp": (2 + 1) * (layers + stretches * table) / tensor + 2 * activations,
    "tensor": (5 * MODEL.layers + 2) * activations + 2 * predicted * MODEL.d_model,
  }
  sizes = {"data": data, "fsdp": fsdp, "tensor": tensor}
  return {axis: size if sizes[axis] > 1 else 0.0 for axis, size in found.items()}


def seconds(data: int, fsdp: int, tensor: int) -> dict[str, float]:
  """Of the wires of TARGET, each axis a ring of its own, and of the products at the peak rate."""
  chip, sizes = chips.CHIPS[TARGET], {"data": data, "fsdp": fsdp, "tensor": tensor}
  passes = {"data": 2, "fsdp": 1, "tensor": 2}  # an all-reduce scatters, then gathers
  found = {
    axis: passes[axis] * size * (sizes[axis] - 1) / sizes[axis] / (2 * chip.link_rate)
    for axis, size in exchanged(data, fsdp, tensor).items()
  }
  return found | {"compute": 4 * flops.score(MODEL, BATCH) / tensor / chip.flops}


def table() -> str:
  head = "| chips | data x fsdp x tensor | over data | over fsdp | over tensor | compute "
  head += "| network / compute | responses a step |\n" + "| --- " * 8 + "|\n"
  return head + "".join(f"{row(mesh)}\n" for mesh in meshes())


def meshes() -> list[tuple[int, int, int]]:
  """fsdp alone; fsdp within 16 and data beyond; tensor within 4."""
  counts = (4, 16, 64, 256, 1024)
  return [
    *((1, n, 1) for n in counts),
    *((n // 16, 16, 1) for n in counts if n > 16),
    *((1, n // 4, 4) for n in counts if n > 4),
  ]


def row(mesh: tuple[int, int, int]) -> str:
  sizes, took = exchanged(*mesh), seconds(*mesh)
  cells = [f"{sizes[a] / 1e9:.1f} GB, {took[a]:.2f} s" if sizes[a] else "" for a in sizes]
  network = sum(took[axis] for axis in sizes)
  responses = mesh[0] * mesh[1] * BATCH.responses
  shape = " x ".join(map(str, mesh))
  return (
    f"| {math.prod(mesh):,} | {shape} | {' | '.join(cells)} | {took['compute']:.2f} s "
    f"| {network / took['compute']:.2f} | {responses:,} |"
  )


def main(argv: Sequence[str]) -> None:
  flags = cli.parse(argv, __doc__ or "", FLAGS, configs=None)
  if flags.check:
    for mesh in CHECKED:
      compare(mesh)
    return
  before, _, rest = PAGE.read_text().partition(BEGIN)
  write_atomically(str(PAGE), before + BEGIN + table() + END + rest.partition(END)[2])


def compare(mesh: tuple[int, int, int]) -> None:
  """Prints the bytes by axis by hand, and as compiled in a process of its own."""
  names = ("mesh.data", "mesh.fsdp", "mesh.tensor")
  settings = dict(zip(names, mesh, strict=True)) | {"batch_prompts": mesh[0] * mesh[1]}
  settings |= {"model.logits_at_once": mesh[0] * mesh[1] * LOGITS}
  command = [sys.executable, "-m", "benchmarks.target_case", f"size={SIZE},chips=h100-8"]
  command += ["update", *(f"{name}={value}" for name, value in settings.items())]
  where = pathlib.Path(__file__).parent.parent
  out = subprocess.run(command, cwd=where, check=True, capture_output=True, text=True).stdout
  compiled = json.loads(out.splitlines()[-1])["exchanged"]
  for axis, size in exchanged(*mesh).items():
    if size:
      print(f"{mesh} over {axis}: {size / 1e9:.2f} GB by hand, {compiled[axis] / 1e9:.2f} compiled")


if __name__ == "__main__":
  cli.run(main)
