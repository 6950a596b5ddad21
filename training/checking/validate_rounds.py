"""Problems of the fields of a recurring training, and of runs to start or to learn from."""

from collections.abc import Iterator

from ml_collections import ConfigDict

from training.checking.pretrained_model import COMPUTE
from training.records.run_folder import RunFolder


def problems(config: ConfigDict, recurring: bool) -> Iterator[str]:
  """Of config.rounds and source="rounds", which one command takes, and of runs to read."""
  if recurring and config.source != "rounds":
    yield f"source={config.source!r}: rounds need --config.source=rounds, as configs/rounds.py has"
  elif not recurring and config.source == "rounds":
    yield "source='rounds': that is python -m experiments.rounds with the same arguments"
  elif recurring:
    yield from _rounds(config)
  for section in ("base", "reference"):
    if config[section].run:
      yield from _run_to_read(config, f"{section}.run", config[section].run)


def _rounds(config: ConfigDict) -> Iterator[str]:
  rounds = config.rounds
  if not 0 <= rounds.noise <= 0.5:
    yield f"rounds.noise={rounds.noise}: must be from 0 to 0.5 (half of all choices: a coin)"
  if not 0 < rounds.level <= 0.5:
    yield f"rounds.level={rounds.level}: must be above 0 and at most 0.5 (never below the deployed)"
  if rounds.judge == "user" and config.group_size != 2:
    yield f"group_size={config.group_size}: rounds.judge='user' prefers one of 2 responses"
  if rounds.judge == "people" and config.group_size != 2:
    yield f"group_size={config.group_size}: rounds.judge='people' compares 2 responses"
  if rounds.judge != "people" and 0 < rounds.groups and rounds.groups % config.batch_prompts:
    yield (
      f"rounds.groups={rounds.groups}: collected in batches, so it must be a multiple of "
      f"batch_prompts={config.batch_prompts}"
    )
  if config.sampling.refills:
    yield f"sampling.refills={config.sampling.refills}: only source='online' samples anew"
  if config.scoring.reward == "model":
    yield "scoring.reward='model': a round is judged by rounds.judge"


def _run_to_read(config: ConfigDict, field: str, path: str) -> Iterator[str]:
  folder = RunFolder(path)
  about = folder.read_config()
  if not about:
    yield f"{field}={path!r} is no run's folder (it would hold config.json)"
    return
  if folder.read_status().get("state") != "finished":
    state = folder.read_status().get("state", "not started")
    yield f"{field}={path!r} is {state}, not finished: train it to its end first"
  saved, model = about["config"]["model"], config.model.to_dict()
  if saved["pretrained"]:  # whose shape comes from its files
    saved, model = ({"pretrained": fields["pretrained"]} for fields in (saved, model))
  differ = [name for name in saved if name not in COMPUTE and saved[name] != model.get(name)]
  if differ:
    values = ", ".join(f"{name} {saved[name]}, here {model.get(name)}" for name in differ[:3])
    yield f"{field}={path!r} has another model: {values}"
