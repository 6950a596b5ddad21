"""GSM8K: questions of grade-school maths with their answers, and solutions with scores."""

from typing import Any

from tasks.datasets.data_set import DataSet, Source
from tasks.rows import row_spellings
from tasks.rows.row import BadRows, Problem, Row

_FILES = (
  "https://raw.githubusercontent.com/openai/grade-school-math/"
  "3101c7d5072418e28b9008a6636bde82a006892c/grade_school_math/data/"
)
_TRAIN_SHA256 = "17f347dc51477c50d4efb83959dbb7c56297aba886e5544ee2aaed3024813465"
_TEST_SHA256 = "3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14"
_ABOUT = {
  "homepage": "https://github.com/openai/grade-school-math",
  "licence": "MIT",
  "citation": """@article{cobbe2021gsm8k,
  title={Training Verifiers to Solve Math Word Problems},
  author={Cobbe, Karl and Kosaraju, Vineet and Bavarian, Mohammad and Chen, Mark and Jun, Heewoo and
    Kaiser, Lukasz and Plappert, Matthias and Tworek, Jerry and Hilton, Jacob and Nakano, Reiichiro
    and Hesse, Christopher and Schulman, John},
  journal={arXiv preprint arXiv:2110.14168},
  year={2021}
}""",
}
_WRITERS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")


def question_with_answer(record: Any, where: str) -> Row:
  """The answer is the number after "####", as it is written there ("1,080")."""
  row = row_spellings.parse(record, where)
  solution, mark, answer = row.answer.rpartition("####")
  if not mark or not answer.strip() or not solution.strip():
    raise BadRows([Problem(where, "'answer' does not end in '#### ' and a number")])
  return Row(row.prompt, answer=answer.strip(), where=where)


def scored_solutions(record: Any, where: str) -> Row:
  """A group of four: the solutions of the published file, or any other spelling of a group."""
  if not isinstance(record, dict) or not any(writer in record for writer in _WRITERS):
    return row_spellings.parse(record, where)
  responses = []
  for writer in _WRITERS:
    one = record.get(writer)
    if not isinstance(one, dict) or not isinstance(one.get("is_correct"), bool):
      raise BadRows([Problem(where, f"{writer!r} is not {{solution, is_correct}}")])
    responses.append({"response": one.get("solution"), "score": float(one["is_correct"])})
  return row_spellings.parse({"prompt": record.get("question"), "responses": responses}, where)


GSM8K = DataSet(
  name="gsm8k",
  description="Questions of grade-school maths, each with the number that answers it.",
  sources={
    "train": (Source(_FILES + "train.jsonl", "train.jsonl", _TRAIN_SHA256),),
    "test": (Source(_FILES + "test.jsonl", "test.jsonl", _TEST_SHA256),),
  },
  parse=question_with_answer,
  **_ABOUT,
)

GSM8K_GROUPS = DataSet(
  name="gsm8k_groups",
  description=(
    "Four solutions (of GPT-3 6B and 175B, fine-tuned and verified) to each question of GSM8K's "
    "TEST split, scored 1 or 0 by correctness. Never evaluate on GSM8K's test split what was "
    "trained on these."
  ),
  sources={
    "train": (
      Source(
        _FILES + "example_model_solutions.jsonl",
        "example_model_solutions.jsonl",
        other_filename="model_solutions_groups.jsonl",
      ),
    )
  },
  parse=scored_solutions,
  **_ABOUT,
)
