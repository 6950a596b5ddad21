"""The policies' completions of the same prompts, side by side, and groups that they trained on."""

import dataclasses
from typing import Any

from comparing.comparison import Comparison, Variant
from comparing.runs import Run, value


@dataclasses.dataclass
class Prompt:
  text: str
  answer: str
  responses: list[dict[str, Any]]  # rows of completions.jsonl and "variant" ("": the base policy)

  @property
  def is_disputed(self) -> bool:
    """Whether the greedy completions differ in reward."""
    return len({row["reward"] for row in self.responses}) > 1

  @property
  def has_samples(self) -> bool:
    return any(row.get("samples") for row in self.responses)


@dataclasses.dataclass(frozen=True)
class Flips:
  """Greedy completions of a run that have another reward than at step 0, of n prompts."""

  variant: str
  rose: int
  fell: int
  n: int


@dataclasses.dataclass(frozen=True)
class Texts:
  """Texts of each variant's first run."""

  prompts: list[Prompt]
  flips: list[Flips]
  groups: list[tuple[str, list[dict[str, Any]]]]  # variant, its rows of groups.jsonl

  @property
  def disputed(self) -> int:
    return sum(prompt.is_disputed for prompt in self.prompts)


def texts(result: Comparison) -> Texts:
  """Completions at the end, flips since the start, groups of the first and of the last step."""
  firsts = [(v.name, _first(v)) for v in result.variants]
  runs = [(name, run) for name, run in firsts if run is not None]
  flips = [found for name, run in runs if (found := _flips(name, run))]
  groups = [(name, rows) for name, run in runs if (rows := _groups(run))]
  return Texts(_by_prompt(result, runs), flips, groups)


def flip(before: dict[str, Any] | None, after: dict[str, Any]) -> str:
  """ "rose" or "fell", as the reward did, or ""."""
  old, new = value(before or {}, "reward"), value(after, "reward")
  if old is None or new is None or old == new:
    return ""
  return "rose" if new > old else "fell"


def _by_prompt(result: Comparison, runs: list[tuple[str, Run]]) -> list[Prompt]:
  """Completions of the base policy, and then of each run at its end."""
  prompts: dict[str, Prompt] = {}
  base = next((rows for run in result.runs if (rows := _rows(run, last=False))), [])
  answers = [("", base if result.has_one_base else [])]
  for name, rows in answers + [(name, _rows(run)) for name, run in runs]:
    for row in rows:
      prompt = prompts.setdefault(
        row["prompt"], Prompt(row["prompt"], str(row.get("answer", "")), [])
      )
      before = (
        prompt.responses[0] if prompt.responses and not prompt.responses[0]["variant"] else None
      )
      own = {"variant": name, "reward": value(row, "reward"), "flip": flip(before, row)}
      prompt.responses.append(row | own)
  return list(prompts.values())


def _flips(variant: str, run: Run) -> Flips | None:
  before = {row["prompt"]: row for row in _rows(run, last=False)}
  pairs = [(before[row["prompt"]], row) for row in _rows(run) if row["prompt"] in before]
  if not pairs:
    return None
  found = [flip(*pair) for pair in pairs]
  return Flips(variant, found.count("rose"), found.count("fell"), len(pairs))


def _groups(run: Run) -> list[dict[str, Any]]:
  """Groups of the first and of the last step, the best response first, unscored ones last."""
  first, last = run.groups
  rows = first if first == last else first + last
  return [row | {"responses": best_first(row["responses"])} for row in rows]


def best_first(responses: list[dict[str, Any]]) -> list[dict[str, Any]]:
  """Sorted by the reward that is trained on; unscored ones are last."""

  def rank(response: dict[str, Any]) -> float:
    reward = value(response, "reward")
    return float("inf") if reward is None else -reward

  return sorted(responses, key=rank)


def _first(variant: Variant) -> Run | None:
  """The first of the variant's runs, by use, that has texts: finished ones first, then by seed."""
  by_use = sorted(variant.runs, key=lambda run: (run.state != "finished", run.seed))
  return next((run for run in by_use if _rows(run)), next(iter(by_use), None))


def _rows(run: Run, last: bool = True) -> list[dict[str, Any]]:
  """Returns the completions of the run's last evaluation, or else of step 0: the base policy's."""
  rows = run.completions[1 if last else 0]
  return [row for row in rows if (row["step"] > 0) == last]
