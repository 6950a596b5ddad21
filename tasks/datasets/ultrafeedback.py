"""UltraFeedback: four models' answers to an instruction, each scored by GPT-4."""

from typing import Any

from tasks.datasets.data_set import DataSet, Source
from tasks.rows import row_spellings
from tasks.rows.row import BadRows, Problem, Row

# The revision in which overall_score was mended (it had 10 where the critique says 1).
_REVISION = "40b436560ca83a8dba36114c22ab3c66e43f6d5e"
_FILES = f"https://huggingface.co/datasets/openbmb/UltraFeedback/resolve/{_REVISION}/"
_PARTS = ("evol_instruct", "false_qa", "flan", "sharegpt", "truthful_qa", "ultrachat")


def scored_completions(record: Any, where: str) -> Row:
  """A group whose scores are the `overall_score` of each completion, 1 to 10."""
  if not isinstance(record, dict) or not isinstance(record.get("completions"), list):
    raise BadRows([Problem(where, "no list of 'completions'")])
  completions = record["completions"]
  if not all(isinstance(one, dict) for one in completions):
    raise BadRows([Problem(where, "'completions' are not all objects")])
  group = {
    "prompt": record.get("instruction"),
    "responses": [
      {"response": one.get("response"), "score": one.get("overall_score")} for one in completions
    ],
  }
  return row_spellings.parse(group, where)


ULTRAFEEDBACK = DataSet(
  name="ultrafeedback",
  description="64 thousand instructions, four models' answers to each, scored 1 to 10 by GPT-4.",
  sources={
    "train": tuple(Source(f"{_FILES}{part}.jsonl", f"{part}.jsonl") for part in _PARTS),
  },
  homepage="https://huggingface.co/datasets/openbmb/UltraFeedback",
  licence="MIT",
  citation="""@article{cui2023ultrafeedback,
  title={UltraFeedback: Boosting Language Models with High-quality Feedback},
  author={Cui, Ganqu and Yuan, Lifan and Ding, Ning and Yao, Guanming and Zhu, Wei and others},
  journal={arXiv preprint arXiv:2310.01377},
  year={2023}
}""",
  parse=scored_completions,
)
