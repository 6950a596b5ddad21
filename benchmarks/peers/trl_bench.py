"""Times TRL's trainers, and `generate`, at the shared work; run.py runs it in TRL's environment.

python trl_bench.py prepare MODEL                       writes a random model and its tokenizer
python trl_bench.py WORK MODEL STEPS RESULT.json

float32 on the CPU, one batch a step, no gradient checkpointing (TRL's default; without it TRL is
faster), no logging to anywhere, no checkpoints; all else as TRL sets it.
"""

import sys
import time

import lengths
import shapes
from shapes import BETAS, EOS, GROUP_SIZES, PAD


def prepare(folder: str) -> None:
  """Writes a Qwen3 with random weights and a tokenizer of words, as a user's folder has them."""
  from tokenizers import Tokenizer, models, pre_tokenizers
  from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

  words = {f"w{i}": i for i in range(shapes.VOCABULARY)}
  words = {"<pad>": PAD, "<eos>": EOS} | {word: i for word, i in words.items() if i > EOS}
  tokenizer = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
  tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
  names = {"pad_token": "<pad>", "eos_token": "<eos>"}
  PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
  config = Qwen3Config(
    vocab_size=shapes.VOCABULARY,
    hidden_size=shapes.WIDTH,
    intermediate_size=shapes.FF_DIM,
    num_hidden_layers=shapes.LAYERS,
    num_attention_heads=shapes.HEADS,
    num_key_value_heads=shapes.KV_HEADS,
    head_dim=shapes.HEAD_DIM,
    max_position_embeddings=2048,
    rope_parameters={"rope_type": "default", "rope_theta": shapes.ROPE_THETA},
    rms_norm_eps=shapes.NORM_EPS,
    tie_word_embeddings=True,
    pad_token_id=PAD,
    eos_token_id=EOS,
  )
  Qwen3ForCausalLM(config).save_pretrained(folder)


def generate(work: str, model_folder: str, steps: int) -> list[float]:
  """Returns when each call of `generate` was done, in seconds since 1970."""
  import torch
  from transformers import AutoModelForCausalLM

  model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32).eval()
  done = []
  for step in range(1 + steps):
    rows = shapes.random_ids(shapes.ROLLOUTS, prompt_tokens(work, shapes.ROLLOUTS, step), step)
    longest = max(map(len, rows))
    prompts = torch.tensor([[PAD] * (longest - len(row)) + row for row in rows])
    out = model.generate(
      prompts,
      attention_mask=(prompts != PAD).long(),
      max_new_tokens=response_tokens(work),
      do_sample=True,
      temperature=1.0,
      top_k=0,
      top_p=1.0,
      **how_responses_end(work),
    )
    assert work != "generate" or out.shape[1] == shapes.PROMPT + shapes.RESPONSE, out.shape
    done.append(time.time())
  return done


def prompt_tokens(work: str, rows: int, seed: int) -> int | list[int]:
  if "_gsm8k" in work:
    return lengths.drawn(lengths.GSM8K_QUESTIONS, rows, seed)
  return shapes.PROMPT


def response_tokens(work: str) -> int:
  return lengths.GSM8K_MAX if "_gsm8k" in work else shapes.RESPONSE


def how_responses_end(work: str) -> dict:
  """Never; or with the end made likely enough that they have GSM8K's mean length."""
  if "_gsm8k" in work:
    return {"sequence_bias": [[[EOS], lengths.bias(shapes.VOCABULARY)]]}
  return {"suppress_tokens": [EOS]}


def train(work: str, model_folder: str, steps: int) -> list[float]:
  """Returns when each step of TRL's trainer was done, in seconds since 1970."""
  from transformers import TrainerCallback

  class Clock(TrainerCallback):
    def __init__(self):
      self.done = []

    def on_step_end(self, *_, **__):
      self.done.append(time.time())

  clock = Clock()
  make = dpo_trainer if work.startswith("dpo") else online_trainer
  make(work, model_folder, clock, max_steps=1 + steps).train()
  return clock.done


def settings(max_steps: int) -> dict:
  return {
    "output_dir": "unused",
    "max_steps": max_steps,
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "report_to": "none",
    "save_strategy": "no",
  }


def dpo_trainer(work: str, model_folder: str, clock, max_steps: int):
  from datasets import Dataset
  from trl import DPOConfig, DPOTrainer

  rows = shapes.PAIRS * max_steps
  prompts, chosen, rejected = shapes.PROMPT, shapes.RESPONSE - 1, shapes.RESPONSE - 1
  if work == "dpo_pandalm":
    prompts = lengths.drawn(lengths.PANDALM_PROMPTS, rows, seed=2)
    chosen = [n - 1 for n in lengths.drawn(lengths.PANDALM_CHOSEN, rows, seed=0)]
    rejected = [n - 1 for n in lengths.drawn(lengths.PANDALM_REJECTED, rows, seed=1)]
  # TRL adds the end of sequence to a response.
  parts = (("prompt", "", prompts), ("chosen", " ", chosen), ("rejected", " ", rejected))
  columns = {
    name: [before + shapes.text(ids) for ids in shapes.random_ids(rows, tokens, seed)]
    for seed, (name, before, tokens) in enumerate(parts)
  }
  config = DPOConfig(
    **settings(max_steps),
    per_device_train_batch_size=shapes.PAIRS,
    beta=BETAS[work],
    precompute_ref_log_probs=work == "dpo_precomputed",
  )
  return DPOTrainer(
    model_folder, args=config, train_dataset=Dataset.from_dict(columns), callbacks=[clock]
  )


def online_trainer(work: str, model_folder: str, clock, max_steps: int):
  from datasets import Dataset
  from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

  config_class, trainer_class = (
    (RLOOConfig, RLOOTrainer) if work == "rloo" else (GRPOConfig, GRPOTrainer)
  )
  k = GROUP_SIZES[work]
  rows = shapes.ROLLOUTS // k * max_steps
  prompts = shapes.random_ids(rows, prompt_tokens(work, rows, seed=0), seed=0)

  def reward(completions, **_):
    return [float(i % k) for i in range(len(completions))]  # all different in a group

  config = config_class(
    **settings(max_steps),
    per_device_train_batch_size=shapes.ROLLOUTS,
    num_generations=k,
    max_completion_length=response_tokens(work),
    beta=BETAS[work],
    generation_kwargs=how_responses_end(work),
  )
  dataset = Dataset.from_dict({"prompt": [shapes.text(ids) for ids in prompts]})
  return trainer_class(
    model_folder, reward_funcs=reward, args=config, train_dataset=dataset, callbacks=[clock]
  )


def main(work: str, model_folder: str, steps: str = "", result: str = "") -> None:
  if work == "prepare":
    prepare(model_folder)
    return
  if work.startswith("generate"):
    done = generate(work, model_folder, int(steps))
  else:
    done = train(work, model_folder, int(steps))
  seconds = [later - earlier for earlier, later in zip(done[:-1], done[1:], strict=True)]
  shapes.write(result, done[0], seconds, ("trl", "transformers", "torch", "accelerate"))


if __name__ == "__main__":
  main(*sys.argv[1:])
