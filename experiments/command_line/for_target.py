"""`--target=v5e-4`: a run's programs compiled for chips that are not here, and what came out."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from experiments.command_line import long_work_bar
from training import run
from training.targets import chips, compilers


def compile_for(name: str, config: ConfigDict) -> int:
  """Prints what the target's compiler says of each program; 2 if one does not fit, else 0.

  UserError, before jax is imported, if there is no such target, its compiler is missing, or the
  mesh is of another size.
  """
  target = _prepared(name, [config])
  from training.targets import report

  parts, found = _compiled(target, config)
  print("\n" + report.end(parts, found))
  return 0 if all(one.fits for one in found) else 2


def compile_sweep(name: str, kinds: Mapping[str, ConfigDict]) -> int:
  """The same for one run of each kind, named by all that compile the same; then a row a program."""
  target = _prepared(name, list(kinds.values()))
  from training.targets import report

  rows, fits = [], True
  for names, config in kinds.items():
    print(f"{'' if not rows else chr(10)}# {names}")
    parts, found = _compiled(target, config)
    if not all(one.fits for one in found):
      fits = False
      print("\n" + report.too_much(parts, found))
    rows += [report.row(one, names) for one in found]
  print("\n".join(["", report.ROW_HEAD, *rows, "", report.NOTE]))
  return 0 if fits else 2


def _prepared(name: str, configs: list[ConfigDict]) -> chips.Target:
  """The target, once all configs are known to be good and jax is ready to compile for it."""
  target = [compilers.target_of(name, config.mesh.to_dict()) for config in configs][0]
  with long_work_bar.shown():
    for config in configs:
      run.check(config, weights=False)
  compilers.prepare(target)
  from training.devices import multiply_in_full  # jax, now that the configs are known to be good

  multiply_in_full()
  return target


def _compiled(target: chips.Target, config: ConfigDict) -> tuple[Any, list[Any]]:
  """The run's parts, and its programs compiled, each printed when it is."""
  from models.partitioning import make_mesh
  from training import build, trial
  from training.checking.config_task import task_of
  from training.targets import compiling, programs, report

  found = []
  with compilers.alone(target, print):
    mesh = make_mesh(**config.mesh.to_dict(), devices=compilers.devices(target))
    parts = build.put_together(config, task_of(config), mesh)
    trial.check_loss(parts)
    print(report.head(parts, target), flush=True)
    for program in programs.of_run(parts):
      found.append(compiling.compiled(program, parts, target))
      print("\n".join(report.of_program(found[-1])), flush=True)
  return parts, found
