"""Where a run happens: the code's commit, the versions of what it stands on, and its process."""

import contextlib
import glob
import importlib.metadata
import os
import platform
import subprocess
import sys

_PACKAGES = (
  "jax",
  "jaxlib",
  "flax",
  "optax",
  "orbax-checkpoint",
  "ml-collections",
  "numpy",
  "reasoning-gym",
  "wandb",
)


def describe(device: str) -> dict[str, object]:
  """The content of a run's env.json; `device` is what jax found, e.g. "cpu x1"."""
  return {
    "git": git_commit(),
    "versions": _versions(),
    "device": device,
    "python": platform.python_version(),
    "platform": platform.platform(),
  }


# Memory in huge pages, where Linux has them. XLA asks for the memory of every call anew, and to be
# given it in pages of 4 KiB costs a step 2 to 14 % of its time. (The first call pays for the
# rest: it can take two seconds longer.)
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


def with_huge_pages(command: str) -> None:
  """Starts `python -m command` again, as the same process: the C library reads HUGE_PAGES once.

  Call it when the arguments are known to be good and nothing is done yet. Nothing happens in a
  process started as something else, or if GLIBC_TUNABLES is set already.
  """
  is_command = sys.orig_argv[1:3] == ["-m", command]
  if is_command and sys.platform == "linux" and not HUGE_PAGES.keys() & os.environ.keys():
    os.environ.update(HUGE_PAGES)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def has_accelerator() -> bool:
  """Whether a GPU or TPU seems to be here, by its device file: jax would take seconds to say."""
  others = ("/dev/kfd", "/dev/accel0", "/dev/vfio/0")
  return bool(nvidia_gpus()) or any(map(os.path.exists, others))


def nvidia_gpus() -> list[str]:
  """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; [] without any."""
  visible = os.environ.get("CUDA_VISIBLE_DEVICES")
  if visible is not None:
    return [name for name in visible.split(",") if name]
  # CUDA counts those that are here, whatever numbers their files have (in a container, say).
  return [str(number) for number in range(len(glob.glob("/dev/nvidia[0-9]*")))]


def git_commit() -> str:
  """The commit of this code, with "-dirty" if files differ from it; "" without git."""
  try:
    return _git("rev-parse", "HEAD") + ("-dirty" if _git("status", "--porcelain") else "")
  except (OSError, subprocess.SubprocessError):
    return ""


def process_start(pid: int) -> str:
  """When the process started, in the kernel's ticks; "" where there is no /proc, or no process.

  With the pid it names a process for good: a pid alone is used again, after a reboot for one.
  """
  try:
    with open(f"/proc/{pid}/stat") as file:
      state, *fields = file.read().rpartition(")")[2].split()
  except OSError:
    return ""
  return "" if state == "Z" else fields[18]  # a zombie has ended


def is_alive(pid: int, started: str) -> bool:
  """Whether the process that had this pid and `process_start` still runs."""
  if sys.platform == "linux":
    return bool(started) and process_start(pid) == started
  try:
    os.kill(pid, 0)
  except ProcessLookupError:
    return False
  except PermissionError:
    return True
  return True


def _git(*arguments: str) -> str:
  here = os.path.dirname(os.path.abspath(__file__))
  command = ["git", "-C", here, *arguments]
  done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
  return done.stdout.strip()


def _versions() -> dict[str, str]:
  versions = {}
  for package in _PACKAGES:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      versions[package] = importlib.metadata.version(package)
  return versions
