"""`--target=v5e-4`: a run's programs compiled for chips that are not here, and what came out."""

from ml_collections import ConfigDict

from experiments.command_line import long_work_bar
from training import run
from training.targets import compilers


def compile_for(name: str, config: ConfigDict) -> int:
  """Prints what the target's compiler says of each program; 2 if one does not fit, else 0.

  UserError, before jax is imported, if there is no such target, its compiler is missing, or the
  mesh is of another size.
  """
  target = compilers.target_of(name, config.mesh.to_dict())
  with long_work_bar.shown():
    run.check(config, weights=False)
  compilers.prepare(target)

  from models.partitioning import make_mesh  # jax, now that the config is known to be good
  from training import build, trial
  from training.checking.config_task import task_of
  from training.devices import multiply_in_full
  from training.targets import compiling, programs, report

  multiply_in_full()
  found = []
  with compilers.alone(target, print):
    mesh = make_mesh(**config.mesh.to_dict(), devices=compilers.devices(target))
    parts = build.put_together(config, task_of(config), mesh)
    trial.check_loss(parts)
    print(report.head(parts, target), flush=True)
    for program in programs.of_run(parts):
      found.append(compiling.compiled(program, parts, target))
      print("\n".join(report.of_program(found[-1])), flush=True)
  print("\n" + report.end(parts, found))
  return 0 if all(one.fits for one in found) else 2
