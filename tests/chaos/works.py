"""The commands that are hurt: small, but each with the real thing in it."""

import dataclasses
import pathlib
import socket

SMALL = """
  task.name=running_sum task.reward=length(max=4) task.train_prompts=64 task.eval_prompts=8
  batch_prompts=4 group_size=2 steps=12 model.layers=1 model.d_model=16 model.heads=2
  model.kv_heads=1 model.head_dim=8 model.ff_dim=16 base.steps=4 base.batch_prompts=8
  eval.every=3 eval.samples=2 checkpoint.every=2 sampling.max_tokens=10
""".split()

# A reward in worker processes, and runs that differ in numbers.
MINE = '''
def vowels(completion, *, most=3):
  """How many digits it has, up to `most`."""
  return float(min(sum(letter.isdigit() for letter in completion), most))
'''
SWEEP = """
SMALL = dict(setting.split("=", 1) for setting in {small!r})

def get_sweep():
  for seed in range(2):
    yield {{"name": "sft", "config": "configs/sft.py", **SMALL, "seed": seed, "group_size": 1}}
    yield {{"name": "grpo", "config": "configs/grpo.py", **SMALL, "seed": seed}}

def get_tuning():
  from configs.hyper import log_uniform
  return {{"optimizer.learning_rate": log_uniform(1e-4, 1e-1)}}
"""


@dataclasses.dataclass(frozen=True)
class Work:
  """`python -m MODULE *arguments`, in a folder with `files`; its runs are below runs/ there."""

  name: str
  module: str
  arguments: tuple[str, ...]
  files: dict[str, str] = dataclasses.field(default_factory=dict)
  processes: int = 1  # that train together
  is_slow: bool = False  # it starts processes that import everything anew
  moves: bool = (
    True  # a copy of its folder elsewhere goes on (a round's config has its data's path)
  )

  def commands(self) -> list[list[str]]:
    """The words after `python -m` of each process; they change where a free port is in them."""
    if self.processes == 1:
      return [[self.module, *self.arguments]]
    with socket.socket() as free:
      free.bind(("localhost", 0))
      address = f"--coordinator=localhost:{free.getsockname()[1]}"
    numbered = [f"--process={number}" for number in range(self.processes)]
    together = [*self.arguments, address, f"--processes={self.processes}"]
    return [[self.module, *together, number] for number in numbered]

  def lay_out(self, folder: pathlib.Path) -> None:
    """Makes the folder, with the work's files."""
    folder.mkdir(parents=True)
    for name, text in self.files.items():
      (folder / name).write_text(text)


def _train(name: str, config: str, *changes: str, **more) -> Work:
  settings = [f"--config.{setting}" for setting in (*SMALL, "wandb.mode=disabled", *changes)]
  words = (f"--config=configs/{config}.py", *settings, f"--out=runs/{name}")
  return Work(name, "experiments.train", words, **more)


_SHORT = (*SMALL, "steps=4", "eval.every=1", "wandb.mode=disabled")
_SWEEP = {"small.py": SWEEP.format(small=list(_SHORT))}
_ROUNDS = [f"--config.{setting}" for setting in _SHORT]

WORKS = {
  work.name: work
  for work in (
    _train("dpo-offline", "dpo", "steps=24"),
    _train(
      "grpo-refills",
      "grpo",
      *("group_size=4", "minibatches=2", "inner_epochs=2", "sampling.refills=2"),
      "task.reward=mine:vowels",
      files={"mine.py": MINE},
    ),
    _train("ppo-critic", "ppo", "group_size=1", "reference.every=2", "reference.mix=0.5"),
    _train("lora", "grpo", "model.lora_rank=2", "algorithm.beta=0.1"),
    _train("lag-replay", "off_policy_grpo", "source=online", "sampling.lag=2", "replay.share=0.5"),
    Work(
      "rounds",
      "experiments.rounds",
      ("--config=configs/rounds.py", *_ROUNDS, "--out=runs/rounds", "--rounds=2"),
      moves=False,
    ),
    Work(
      "sweep",
      "experiments.sweep",
      ("--config=small.py", "--jobs=2", "--out=runs/sweep"),
      files=_SWEEP,
      is_slow=True,
    ),
    Work(
      "population",
      "experiments.sweep",
      ("--config=small.py", "--only=grpo", "--vectorize=2", "--out=runs/population"),
      files=_SWEEP,
      is_slow=True,
    ),
    Work(
      "tune",
      "experiments.tune",
      ("--config=small.py", "--only=sft", "--trials=3", "--out=runs/tune"),
      files=_SWEEP,
      is_slow=True,
    ),
    _train("two-processes", "grpo", "mesh.fsdp=2", processes=2),
  )
}
