"""Stands in for SLURM: sbatch, srun, squeue, sacct, scontrol and scancel, as far as submitit asks.

The batch file that submitit writes is really run, array task by array task, on this machine. Jobs
are files in $FAKE_SLURM: <id>.pid while a task runs, <id>.state, <id>.requeue when it shall run
again, <id>.sh. A file named refuse-<command> is what that command says, and all that it does.
"""

import os
import pathlib
import re
import signal
import stat
import subprocess
import sys
import time

from training.records.files import write_atomically

COMMANDS = ("sbatch", "srun", "squeue", "sacct", "scontrol", "scancel")


def install(folder: pathlib.Path) -> dict[str, str]:
  """Writes the commands into the folder; returns the variables that make a process use them."""
  for command in COMMANDS:
    path = folder / command
    path.write_text(f'#!/bin/bash\nexec {sys.executable} {__file__} {command} "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
  path = f"{folder}{os.pathsep}{os.environ['PATH']}"
  return {"FAKE_SLURM": str(folder), "PATH": path}


def sbatch(arguments: list[str]) -> None:
  text = pathlib.Path(arguments[-1]).read_text()
  (HOME / "sbatch.txt").write_text(text)
  number = str(1000 + len(list(HOME.glob("*.state"))))
  script = HOME / f"{number}.sh"  # submitit moves its own
  script.write_text(text)
  array = re.search(r"--array=0-(\d+)", text)
  tasks = [f"{number}_{i}" for i in range(int(array[1]) + 1)] if array else [number]
  for task in tasks:
    write_atomically(str(HOME / f"{task}.state"), "PENDING")
    command = [sys.executable, __file__, "run", task, str(script)]
    subprocess.Popen(
      command,
      start_new_session=True,
      stdout=open(HOME / f"{task}.out", "w"),
      stderr=subprocess.STDOUT,
    )
  print(f"Submitted batch job {number}")


def run(arguments: list[str]) -> None:
  """A task, as the node would run it."""
  task, script = arguments
  number, _, index = task.partition("_")
  environment = os.environ | {"SLURM_JOB_ID": number, "SLURM_JOB_NODELIST": "here"}
  if index:
    environment |= {"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": index}
  again = HOME / f"{task}.requeue"
  while True:
    again.unlink(missing_ok=True)
    process = subprocess.Popen(["bash", script], env=environment)
    write_atomically(str(HOME / f"{task}.pid"), str(process.pid))
    write_atomically(str(HOME / f"{task}.state"), "RUNNING")
    code = process.wait()
    if not again.exists():
      break
  (HOME / f"{task}.pid").unlink()
  write_atomically(str(HOME / f"{task}.state"), "FAILED" if code else "COMPLETED")


def srun(arguments: list[str]) -> None:
  command = arguments[arguments.index("--error") + 2 :]
  os.execvp(command[0], command)


def squeue(arguments: list[str]) -> None:
  """Of -h -r -o "%j %i" --name=NAMES."""
  names = arguments[-1].removeprefix("--name=").split(",")
  for path in HOME.glob("*.state"):
    script = (HOME / f"{path.stem.partition('_')[0]}.sh").read_text()
    name = re.findall(r"--job-name=(\S+)", script)[0]
    if name in names and path.read_text() in ("PENDING", "RUNNING"):
      print(name, path.stem)


def sacct(arguments: list[str]) -> None:
  print("JobID|State|NodeList")
  for path in HOME.glob("*.state"):
    print(f"{path.stem}|{path.read_text()}|here")


def scontrol(arguments: list[str]) -> None:
  (HOME / f"{arguments[-1]}.requeue").touch()


def scancel(arguments: list[str]) -> None:
  pid, state = (HOME / f"{arguments[-1]}.{what}" for what in ("pid", "state"))
  while state.read_text() == "PENDING":
    time.sleep(0.05)
  if pid.exists():
    os.killpg(os.getpgid(int(pid.read_text())), signal.SIGKILL)
    pid.unlink()
    write_atomically(str(state), "CANCELLED")


if __name__ == "__main__":
  HOME = pathlib.Path(os.environ["FAKE_SLURM"])
  refusal = HOME / f"refuse-{sys.argv[1]}"
  if refusal.exists():
    sys.exit(refusal.read_text())
  globals()[sys.argv[1]](sys.argv[2:])
