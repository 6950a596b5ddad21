"""The policies' completions of the same prompts, side by side."""

import dataclasses
from typing import Any

from comparing.comparison import Comparison, Variant
from comparing.runs import Run, value


@dataclasses.dataclass
class Prompt:
  text: str
  answer: str
  responses: list[dict[str, Any]]  # rows of completions.jsonl and "variant" ("": the base policy)


def by_prompt(result: Comparison) -> list[Prompt]:
  """Returns the completions of the base policy, and then of each variant's first run at its end."""
  prompts: dict[str, Prompt] = {}
  base = next((rows for run in result.runs if (rows := _rows(run, last=False))), [])
  answers = [("", base if result.has_one_base else [])]
  for variant in result.variants:
    first = next((rows for run in _by_use(variant) if (rows := _rows(run))), [])
    answers.append((variant.name, first))
  for name, rows in answers:
    for row in rows:
      prompt = prompts.setdefault(
        row["prompt"], Prompt(row["prompt"], str(row.get("answer", "")), [])
      )
      prompt.responses.append(row | {"variant": name, "reward": value(row, "reward")})
  return list(prompts.values())


def _by_use(variant: Variant) -> list[Run]:
  """Sorts the variant's runs: finished ones first, then by seed."""
  return sorted(variant.runs, key=lambda run: (run.state != "finished", run.seed))


def _rows(run: Run, last: bool = True) -> list[dict[str, Any]]:
  """Returns the completions of the run's last evaluation, or else of step 0: the base policy's."""
  rows = run.folder.read_completions()
  if not last:
    return [row for row in rows if row["step"] == 0]
  step = max((row["step"] for row in rows), default=0)
  return [row for row in rows if row["step"] == step > 0]
