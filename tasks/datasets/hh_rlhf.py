"""HH-RLHF: which of two answers a person found more helpful, or less harmful."""

from tasks.datasets.data_set import DataSet, Source

_FILES = "https://huggingface.co/datasets/Anthropic/hh-rlhf/resolve/main/"
_PARTS = ("harmless-base", "helpful-base", "helpful-online", "helpful-rejection-sampled")


def _sources(split: str) -> tuple[Source, ...]:
  """The files of a split. In the manual folder they lie as on the hub, in their parts' folders."""
  names = [f"{part}/{split}.jsonl.gz" for part in _PARTS]
  return tuple(Source(_FILES + name, name) for name in names)


HH_RLHF = DataSet(
  name="hh_rlhf",
  description=(
    "Pairs of answers in dialogues with an assistant, and which one people preferred. Written to "
    "train preference models: the texts hold much that is offensive."
  ),
  sources={"train": _sources("train"), "test": _sources("test")},
  homepage="https://huggingface.co/datasets/Anthropic/hh-rlhf",
  licence="MIT",
  citation="""@article{bai2022training,
  title={Training a Helpful and Harmless Assistant with Reinforcement Learning from Human Feedback},
  author={Bai, Yuntao and Jones, Andy and Ndousse, Kamal and Askell, Amanda and others},
  journal={arXiv preprint arXiv:2204.05862},
  year={2022}
}""",
)
