"""The table of faults: what is done to a work, and how often for each thousand kills."""

import dataclasses
from collections.abc import Callable

from tests.chaos import damage, disk, mirror, servers, stops
from tests.chaos.trials import Trial, Whole
from tests.chaos.works import Work


@dataclasses.dataclass(frozen=True)
class Fault:
  name: str
  do: Callable[[Trial, Whole], None]
  share: float  # of injections, for each kill
  is_kill: bool = False
  works: tuple[str, ...] = ()  # that it is for; (): all


_ALONE = ("dpo-offline", "grpo-refills", "ppo-critic", "lora", "lag-replay")

FAULTS = {
  fault.name: fault
  for fault in (
    Fault("kill -9", stops.kill, 0.5, is_kill=True),
    Fault("kill -9 group", stops.kill_group, 0.15, is_kill=True),
    Fault(
      "kill -9 worker",
      stops.kill_worker,
      0.05,
      is_kill=True,
      works=("grpo-refills", "sweep", "population", "tune"),
    ),
    Fault("SIGTERM", stops.terminate, 0.1, is_kill=True),
    Fault("SIGINT", stops.interrupt, 0.1, is_kill=True),
    Fault("SIGHUP", stops.hang_up, 0.1, is_kill=True),
    Fault("damaged file", damage.damage_files, 0.5, works=(*_ALONE, "rounds", "sweep")),
    Fault("full disk", disk.fill_disk, 0.05),
    Fault("halted", stops.halt, 0.05, works=(*_ALONE, "rounds", "two-processes")),
    Fault("folder removed", damage.remove_folder, 0.03, works=(*_ALONE, "rounds", "sweep")),
    Fault("W&B", servers.bad_wandb, 0.02, works=_ALONE),
    Fault("W&B's rows", mirror.mirrored, 0.05, works=_ALONE),
  )
}


def works_of(fault: Fault, works: list[Work]) -> list[Work]:
  return [work for work in works if not fault.works or work.name in fault.works]
