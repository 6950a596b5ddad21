"""One of configs/models/qwen3.py compiled for its chips, in a process of its own.

python -m benchmarks.target_case size=0.6b,chips=h100-1,algorithm=grpo update sampler

Prints a line of JSON for each of the programs named; "sampler" is its last segment, in which its
cache is largest. Fields of the config may follow: mesh.fsdp=16.
"""

import collections
import json
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from ml_collections import ConfigDict

from configs.models import qwen3
from tasks import Item, traits
from training.targets import chips, compilers

PROMPT_TOKENS = 256


@traits(reward="exact")
def prompts(prompts: int) -> Iterator[Item]:
  """Prompts of as many tokens as the config allows, for shapes alone."""
  for n in range(prompts):
    yield Item(f"{n:0{PROMPT_TOKENS}d}", answer="0")


def main(argv: Sequence[str]) -> None:
  arg, *others = argv
  wanted = [word for word in others if "=" not in word]
  given = dict(word.split("=") for word in others if "=" in word)
  target = target_of(dict(part.split("=") for part in arg.split(","))["chips"], given)
  compilers.prepare(target)  # before jax is imported

  from training.checking import config_files

  with tempfile.TemporaryDirectory() as folder:
    write_folder(folder, qwen3.get_config(arg).model)
    settings = {"task.name": "benchmarks.target_case:prompts", "task.train_prompts": 512}
    settings |= {"task.reward": "", "task.data": "", "model.pretrained": folder} | given
    config = config_files.load(f"configs/models/qwen3.py:{arg}", settings)
    for row in compiled(config, target, wanted):
      print(json.dumps(row | {"case": arg}), flush=True)


def target_of(name: str, given: dict[str, str]) -> chips.Target:
  """The target of this name, or as many of its chips as a mesh that is given has.

  More GPUs than a machine has are compiled for all the same: the exchanges are those.
  """
  target = chips.find(name)
  if "mesh.fsdp" not in given:
    return target
  n = math.prod(int(value) for field, value in given.items() if field.startswith("mesh."))
  return chips.Target(f"{target.generation}-{n}", target.generation, (n, 1, 1))


def write_folder(folder: str, model: ConfigDict) -> None:
  """A Hugging Face folder of a Qwen3 of this shape without weights; its tokens are bytes."""
  import tokenizers
  from tokenizers import pre_tokenizers
  from tokenizers.models import BPE

  words = {"num_hidden_layers": model.layers, "hidden_size": model.d_model}
  words |= {"num_attention_heads": model.heads, "num_key_value_heads": model.kv_heads}
  words |= {"head_dim": model.head_dim, "intermediate_size": model.ff_dim}
  words |= {"tie_word_embeddings": model.tied, "rope_theta": model.rope_theta}
  words |= {"rms_norm_eps": model.norm_eps, "vocab_size": 151936, "hidden_act": "silu"}
  words |= {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "eos_token_id": 0}
  with open(os.path.join(folder, "config.json"), "w") as file:
    json.dump(words, file)
  letters = ["<end>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
  tokens = tokenizers.Tokenizer(BPE({letter: i for i, letter in enumerate(letters)}, []))
  tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  tokens.add_special_tokens(["<end>"])
  tokens.save(os.path.join(folder, "tokenizer.json"))


def compiled(
  config: ConfigDict, target: chips.Target, wanted: Sequence[str]
) -> Iterator[dict[str, Any]]:
  """Compiles the programs of these names; a row of figures each."""
  from models.partitioning import make_mesh
  from training import build
  from training.checking.config_task import task_of
  from training.devices import multiply_in_full
  from training.targets import compiling, programs

  multiply_in_full()
  with compilers.alone(target, lambda text: print(text, file=sys.stderr)):
    mesh = make_mesh(**config.mesh.to_dict(), devices=compilers.devices(target))
    parts = build.put_together(config, task_of(config), mesh)
    by_name = {program.name.partition(",")[0]: program for program in programs.of_run(parts)}
    for name in wanted:
      program = by_name[name]  # of several segments the last
      one = compiling.compiled(program, parts, target)
      row: dict[str, Any] = {"program": name, "compile_seconds": one.compile_seconds}
      row |= {"memory": one.needed, "fits": one.fits, "estimated": program.estimated}
      if one.counts is not None and one.roofline is not None:
        did, roof = one.counts, one.roofline
        whole = did.flops + did.float32_flops
        row |= {"compute": roof.compute, "traffic": roof.memory, "network": roof.network}
        row |= {"share_of_peak": one.share_of_peak, "in_float32": did.float32_flops / whole}
        row |= {"flops_over_by_hand": whole * target.devices / program.flops}
        row |= {"not_counted": sum(did.unknown.values())}
        row["exchanged"] = collections.Counter()
        for exchange, often in did.collectives:
          row["exchanged"][exchange.axes] += often * exchange.bytes
        if name == "sampler":
          row["share_of_rate"] = must_read(parts, target) / roof.seconds / target.chip.hbm_rate
      yield row


def must_read(parts: Any, target: chips.Target) -> float:
  """Bytes that a device must read in the last segment of the sampler."""
  from training import drawing, flops

  config, tensor = parts.config, parts.mesh.shape["tensor"]
  prompts = config.batch_prompts * tensor // target.devices
  upto = [
    flops.sample_bytes(
      parts.model, flops.Batch(prompts, config.group_size, PROMPT_TOKENS, tokens), width=2
    )
    for tokens in drawing.segments(config.sampling.max_tokens)[-2:]
  ]
  return (upto[1] - upto[0]) / tensor


if __name__ == "__main__":
  main(sys.argv[1:])
