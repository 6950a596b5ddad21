"""W&B runs: how a run folder is named and described there, and what of it is sent.

Everything here raises what W&B raises: whoever sends rows decides what a failure costs (in training
recorder.Recorder catches it, and goes on without W&B). Several runs may be open in one process,
each in a thread of its own if need be.
"""

import functools
import hashlib
import os
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from training.records.run_folder import RunFolder

PROBE_SECONDS = 5.0  # for W&B's server to answer anything; else a run goes offline
INIT_SECONDS = 20.0  # for it to take a run; if it takes none, later ones don't try
FINISH_SECONDS = 60.0  # for what is still on its way at the end of a run
_STEP = "train/global_step"
_LONGEST_ID, _LONGEST = 100, 128  # W&B's own 128 less what it makes names of tables of; of others
_given_up: set[str] = set()  # servers that took no run of this process
_COLUMNS: list[Any] = ["step", "prompt", "answer", "completion", "reward"]
_OF_SAMPLE: list[Any] = ["sampled", "reward of sampled"]


def start(folder: RunFolder, wanted: str, words: Collection[str], replay: bool = False) -> Any:
  """A W&B run for this folder, or None where W&B is disabled.

  Args:
    wanted: config.wandb.mode.
    words: the arrays that the run's loss asks for, which say what it trains.
    replay: its rows are sent again, from the first, to a run of another id.
  Raises:
    Whatever W&B raises. Online, a server that is silent costs PROBE_SECONDS, and one that answers
    but takes no run INIT_SECONDS; once a process: the runs after that go offline.
  """
  import wandb

  mode = _mode(wanted, wandb)
  if mode == "disabled":
    return None
  arguments = about(folder, words)
  sweep = folder.read_config().get("sweep", "")
  arguments["dir"] = os.path.dirname(os.path.abspath(folder.path)) if sweep else folder.path
  os.makedirs(arguments["dir"], exist_ok=True)
  if replay:
    arguments["id"] += "-replay"
  settings = wandb.Settings(
    silent=True,
    # What is printed, and the machine's load every 15 seconds: 0.03 seconds of CPU a run. A replay
    # has none of either.
    x_disable_stats=replay,
    console="off" if replay else "wrap",
    x_save_requirements=False,  # of all packages: half a second a run; the config has ours
    init_timeout=INIT_SECONDS,
    finish_timeout=FINISH_SECONDS,
  )
  resume = "allow" if mode == "online" and not replay else None
  arguments |= {"mode": mode, "resume": resume, "reinit": "create_new", "settings": settings}
  try:
    run = wandb.init(**arguments)
  except Exception:
    if mode == "online":
      _given_up.add(_server())
    raise
  run.define_metric(_STEP)
  run.define_metric("*", step_metric=_STEP)
  return run


def about(folder: RunFolder, words: Collection[str]) -> dict[str, Any]:
  """The run's names and description in W&B, from its config.json, env.json and command."""
  named, env = folder.read_config(), folder.read_env()
  config, sweep = named.get("config", {}), named.get("sweep", "")
  variant = named.get("variant", folder.name)
  wandb = config.get("wandb", {})
  loss, task, model = config["algorithm"]["loss"], config["task"]["name"], config["model"]
  tags = [loss, task, os.path.basename(model.get("pretrained", ""))]
  facts = {"sweep": sweep, "variant": variant}
  facts |= {name: env.get(name, "") for name in ("git", "device", "versions")}
  return {
    "project": wandb.get("project", "counterpoint"),
    "entity": wandb.get("entity") or None,
    # Its name first, to find its files by. A run started over is another run to W&B, which would
    # take none of its first rows; one that goes on to more steps is the same, of another digest.
    "id": _id(f"{folder.name}-{sweep or 'run'}-{named.get('created', 0)}"),
    "name": folder.name[-_LONGEST:],
    "group": (f"{sweep}/{variant}" if sweep else variant)[-_LONGEST:],
    "job_type": _job_type(config, words),
    "tags": [tag[-64:] for tag in tags if tag],
    "notes": folder.read_command(),
    "config": dict(config) | facts,
  }


def log(run: Any, row: Mapping[str, Any]) -> None:
  """One row, with its "step"."""
  run.log({_STEP: row["step"]} | dict(row), step=row["step"])


def log_completions(run: Any, rows: Sequence[Mapping[str, Any]]) -> None:
  """The completions of one step, as a table: greedy, and a sampled one if there is one."""
  import wandb

  samples = [next(iter(row.get("samples", [])), {}) for row in rows]
  data = [
    [*(row[column] for column in _COLUMNS), sample.get("completion"), sample.get("reward")]
    for row, sample in zip(rows, samples, strict=True)
  ]
  table = wandb.Table(_COLUMNS + _OF_SAMPLE, data)
  run.log({"completions": table}, step=rows[0]["step"])


def finish(run: Any, latest: Mapping[str, Any], exit_code: int) -> None:
  """Ends it; `latest` holds the last value of every metric."""
  finals = {key.replace("eval/", "final/"): v for key, v in latest.items() if "eval/" in key}
  run.summary.update(finals)
  run.finish(exit_code=exit_code)


def _id(text: str) -> str:
  """The text in characters that W&B takes; a digest for the end of a long one."""
  name = re.sub(r"[^\w.+-]+", "_", text)
  if len(name) <= _LONGEST_ID:
    return name
  return f"{name[: _LONGEST_ID - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _job_type(config: Mapping[str, Any], words: Collection[str]) -> str:
  if "scores" in words:
    return "reward"
  return "sft" if config["source"] == "demonstrations" else "train"


def _mode(wanted: str, wandb: Any) -> Any:
  """ "auto": what WANDB_MODE says, else online where somebody is logged in, else offline."""
  mode = os.environ.get("WANDB_MODE") or "auto" if wanted == "auto" else wanted
  if mode not in ("auto", "online"):
    return mode
  if _server() in _given_up or not _answers(_server()):
    print("W&B: its server does not answer; the run is offline, for `wandb sync`")
    return "offline"
  return "online" if mode == "online" or wandb.login(prompt=False) else "offline"


def _server() -> str:
  return os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")


@functools.cache
def _answers(url: str) -> bool:
  """Whether a server sends anything back: wandb itself waits much longer, for every run."""
  try:
    urllib.request.urlopen(url, timeout=PROBE_SECONDS).close()
  except urllib.error.HTTPError:
    return True
  except urllib.error.URLError as error:
    return isinstance(error.reason, ssl.SSLError)  # wandb may know the certificate
  except OSError:
    return False
  return True
