"""Eight GRPO runs as one program (`--vectorize=8`) beside eight of their own, compiled for an H200.

python -m benchmarks.population_on_chip

Prints a table. A launch is a kernel; nothing is run.
"""

import dataclasses
import tempfile
from collections.abc import Iterator
from typing import Any

from benchmarks import target_case
from configs.models import qwen3
from training.targets import chips, compilers

MEMBERS = 8
TARGET = "h200"
HEAD = "| model | program | runs | FLOPs | traffic | kernels | at least | memory |"
SHORT = {"sampling.max_tokens": 256, "batch_prompts": 8, "micro_batches": 1, "model.lora_rank": 16}


def main() -> None:
  target = chips.find(TARGET)
  compilers.check_installed(target)
  compilers.prepare(target)
  print(HEAD + "\n" + "| --- " * 8 + "|")
  with compilers.alone(target, print), tempfile.TemporaryDirectory() as folder:
    devices = compilers.devices(target)
    for model, parts in cases(folder, devices):
      for row in rows(model, parts, target):
        print(row, flush=True)


def cases(folder: str, devices: Any) -> Iterator[tuple[str, Any]]:
  """The default character model, and Qwen3-0.6B with adapters."""
  from models.partitioning import make_mesh
  from training import build
  from training.checking import config_files
  from training.checking.config_task import task_of

  target_case.write_folder(folder, qwen3.get_config("size=0.6b").model)
  own = {"task.name": "benchmarks.target_case:prompts", "task.train_prompts": 512}
  own |= {"task.reward": "", "model.pretrained": folder}
  for name, file, settings in (
    ("configs/grpo.py, float32", "configs/grpo.py", {}),
    ("configs/grpo.py, bfloat16", "configs/grpo.py", {"model.dtype": "bfloat16"}),
    ("Qwen3-0.6B, LoRA of rank 16", "configs/models/qwen3.py", own | SHORT),
  ):
    config = config_files.load(file, settings)
    yield name, build.put_together(config, task_of(config), make_mesh(devices=devices[:1]))


def rows(model: str, parts: Any, target: chips.Target) -> Iterator[str]:
  """The update and the sampler of one run, times eight, and of the population."""
  from training.targets import programs

  # As `build.model_of` has it for a member: jax cannot vmap cuDNN's attention.
  member = dataclasses.replace(parts, model=dataclasses.replace(parts.model, attention="plain"))
  together = {"update": update_of_all(member), "sampler": sampler_of_all(member)}
  for program in programs.of_run(parts):
    if program.name in together:
      one = figures(program.lower(), target)
      yield row(model, program.name, "8 programs", one, MEMBERS)
      yield row(model, program.name, "1 program", figures(together[program.name], target), 1)


def update_of_all(parts: Any) -> Any:
  from training.targets import programs
  from training.update import compiled_update

  prompts = parts.config.batch_prompts
  given = programs.state_shapes(parts), programs.groups_shapes(parts, prompts), parts.numbers
  return lowered(compiled_update(parts.update_spec), given, common=2, donate=True, parts=parts)


def sampler_of_all(parts: Any) -> Any:
  import jax

  from training import memory
  from training.compiled_sampling import compiled_sampler
  from training.targets import programs

  config = parts.config
  groups, (policy, _) = (
    programs.groups_shapes(parts, config.batch_prompts),
    memory.networks(parts),
  )
  key = jax.eval_shape(jax.random.key, 0)
  given = policy, groups.prompts, groups.prompt_mask, key, 1.0
  sampler = compiled_sampler(parts.model, parts.sampler(config.group_size), parts.mesh)
  return lowered(sampler, given, common=4, donate=False, parts=parts)


def lowered(shared: Any, given: tuple, *, common: int, donate: bool, parts: Any) -> Any:
  """The shared function for all members; the arguments from the `common`th on are of all alike."""
  import jax
  import numpy as np
  from jax.sharding import Mesh, NamedSharding
  from jax.sharding import PartitionSpec as P

  from training.population.shared import MEMBERS as AXIS

  mesh = Mesh(np.array([parts.mesh.devices.flat[0]]), (AXIS,))
  place = NamedSharding(mesh, P())

  def stacked(x):
    return jax.ShapeDtypeStruct((MEMBERS, *x.shape), x.dtype, sharding=place)

  def scalar(x):
    return jax.ShapeDtypeStruct((), np.float32, sharding=place)

  leaves, treedef = jax.tree.flatten(given)
  alike = len(jax.tree.leaves(given[common:]))
  of_all = [*map(stacked, leaves[: len(leaves) - alike]), *map(scalar, leaves[-alike:])]
  axes = (*[0] * (len(leaves) - alike), *[None] * alike)
  return shared.for_members(treedef, axes, mesh, MEMBERS, donate).lower(*of_all)


def figures(program: Any, target: chips.Target) -> dict[str, Any]:
  from training.targets import counts, hlo
  from training.targets.collectives import Wiring
  from training.targets.roofline import Roofline

  binary = program.compile()
  wiring = Wiring(target, {"data": 1, "fsdp": 1, "tensor": 1}, ((0,),))
  did, stats = counts.count(hlo.parse(binary.as_text()), wiring), binary.memory_analysis()
  roof = Roofline.of(did, target.chip)
  size = stats.argument_size_in_bytes + stats.temp_size_in_bytes
  size += stats.output_size_in_bytes - stats.alias_size_in_bytes
  return {
    "flops": did.flops + did.float32_flops,
    "bytes": did.bytes,
    "launches": did.launches,
    "seconds": roof.seconds,
    "bound": roof.bound_by,
    "memory": size,
  }


def row(model: str, program: str, runs: str, found: dict[str, Any], times: int) -> str:
  """A row of the table; memory is that of all runs, which may be there at a time."""
  return (
    f"| {model} | {program} | {runs} | {times * found['flops'] / 1e12:.3g} T | "
    f"{times * found['bytes'] / 1e9:.3g} GB | {times * found['launches']:,} | "
    f"{times * found['seconds'] * 1e3:.3g} ms ({found['bound']}) | "
    f"{times * found['memory'] / 2**30:.3g} GiB |"
  )


if __name__ == "__main__":
  main()
