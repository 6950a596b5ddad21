"""The works that are timed: kinds of training steps, and sampling alone."""

import dataclasses

from benchmarks.peers import lengths
from benchmarks.sizes import Size
from training import flops
from training.flops import Batch


@dataclasses.dataclass(frozen=True)
class Work:
  """One kind of step. Its phases, in their order: collect, reference, update."""

  name: str
  about: str
  loss: str = ""  # "": nothing is trained
  group_size: int = 1
  samples: bool = False  # samples the responses; otherwise they are given
  beta: float | None = None  # of the loss, where it has one
  scores_reference: bool = False  # every step; otherwise precomputed, or not needed
  lengths: str = ""  # of prompts and responses: "pandalm", "gsm8k" (peers/lengths.py); "": all full

  def batch(self, size: Size) -> Batch:
    """Of full length; with other lengths, the mean ones."""
    if self.lengths:
      size = dataclasses.replace(size, **MEANS[self.lengths])
    prompts = size.rollouts // self.group_size if self.samples else size.pairs
    return Batch(prompts, self.group_size, size.prompt_tokens, size.response_tokens)

  def flops(self, size: Size) -> dict[str, int]:
    """Returns the FLOPs of each phase."""
    model, batch = size.model, self.batch(size)
    needed = {
      "collect": flops.sample(model, batch) if self.samples else 0,
      "reference": flops.score(model, batch) if self.scores_reference else 0,
      "update": flops.update(model, batch) if self.loss else 0,
    }
    return {phase: n for phase, n in needed.items() if n}


MEANS = {
  "pandalm": {"prompt_tokens": 61, "response_tokens": 55},
  "gsm8k": {"prompt_tokens": 60, "response_tokens": lengths.GSM8K_MEAN_SOLUTION},
}
WORKS = {
  work.name: work
  for work in (
    Work("dpo", "DPO, the reference's log-probs each step", "dpo", 2, False, 0.1, True),
    Work("dpo_precomputed", "DPO, the reference's log-probs given", "dpo", 2, False, 0.1),
    Work("grpo", "GRPO, K = 8, beta = 0", "grpo", 8, True, 0.0),
    Work("grpo_kl", "GRPO, K = 8, beta = 0.04 and its reference", "grpo", 8, True, 0.04, True),
    Work("rloo", "RLOO, K = 2, beta = 0.05 and its reference", "rloo", 2, True, 0.05, True),
    Work("generate", "sampling alone, one response to each prompt", samples=True),
    Work("dpo_pandalm", "DPO on pairs of PandaLM's lengths", "dpo", 2, False, 0.1, True, "pandalm"),
    Work("grpo_gsm8k", "GRPO, K = 8, of GSM8K's lengths", "grpo", 8, True, 0.0, lengths="gsm8k"),
    Work("generate_gsm8k", "sampling alone, of GSM8K's lengths", samples=True, lengths="gsm8k"),
  )
}
