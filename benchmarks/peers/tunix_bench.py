"""Times Tunix's trainers and sampler at the shared work; run.py runs it in Tunix's environment.

python tunix_bench.py WORK STEPS RESULT.json

float32 on the CPU, one batch a step, no rematerialisation, no checkpoints; all else as Tunix sets
it. Tunix has no RLOO trainer and no DPO with given log-probs of the reference.
"""

import itertools
import sys
import time

import jax
import numpy as np
import optax
import shapes
from flax import nnx
from shapes import BETAS, GROUP_SIZES, PAD
from tunix.models.qwen3 import model as qwen3

NEVER = shapes.VOCABULARY  # an end-of-sequence token that no model of this vocabulary draws
LEARNING_RATE = 1e-6


class Words:
  """A tokenizer of words, with the interface that Tunix asks of one that is not HF's or SPM's."""

  def encode(self, text: str) -> list[int]:
    return [int(word[1:]) for word in text.split()]

  def decode(self, ids: list[int]) -> str:
    return shapes.text(ids)

  def bos_id(self) -> int:
    return 0  # none: Tunix adds it where it is not 0

  def eos_id(self) -> int:
    return NEVER

  def pad_id(self) -> int:
    return PAD


def random_model() -> qwen3.Qwen3:
  config = qwen3.ModelConfig(
    num_layers=shapes.LAYERS,
    vocab_size=shapes.VOCABULARY,
    embed_dim=shapes.WIDTH,
    hidden_dim=shapes.FF_DIM,
    num_heads=shapes.HEADS,
    head_dim=shapes.HEAD_DIM,
    num_kv_heads=shapes.KV_HEADS,
    rope_theta=int(shapes.ROPE_THETA),
    norm_eps=shapes.NORM_EPS,
    use_tied_embedding=True,
  )
  with mesh():
    return qwen3.Qwen3(config, rngs=nnx.Rngs(0))


def mesh() -> jax.sharding.Mesh:
  return jax.sharding.Mesh(np.array(jax.devices()[:1]).reshape(1, 1), ("fsdp", "tp"))


def generate(steps: int) -> list[float]:
  """Returns when each call of the sampler was done, in seconds since 1970."""
  from tunix.generate.sampler import CacheConfig, Sampler

  cache = CacheConfig(
    cache_size=shapes.PROMPT + shapes.RESPONSE,
    num_layers=shapes.LAYERS,
    num_kv_heads=shapes.KV_HEADS,
    head_dim=shapes.HEAD_DIM,
  )
  sampler = Sampler(random_model(), Words(), cache)
  done = []
  for step in range(1 + steps):
    prompts = shapes.random_ids(shapes.ROLLOUTS, shapes.PROMPT, seed=step)
    out = sampler(
      [shapes.text(ids) for ids in prompts],
      max_generation_steps=shapes.RESPONSE,
      max_prompt_length=shapes.PROMPT,
      temperature=1.0,
      top_p=1.0,  # without it Tunix takes the likeliest token
      seed=step,
    )
    assert all(len(tokens) == shapes.RESPONSE for tokens in out.tokens)
    done.append(time.time())
  return done


def dpo(steps: int) -> list[float]:
  """Returns when each step of the DPO trainer was done, in seconds since 1970."""
  from tunix.sft.dpo.dpo_trainer import DPOTrainer, DPOTrainingConfig, TrainingInput
  from tunix.sft.hooks import TrainingHooks

  class Clock(TrainingHooks):
    """Notes when each step begins, once the weights of the one before are there."""

    def __init__(self):
      self.begun = []

    def on_train_start(self, train_ctx):
      pass

    def on_train_end(self, train_ctx):
      pass

    def on_train_step_start(self, train_ctx):
      jax.block_until_ready(nnx.state(train_ctx.model))
      self.begun.append(time.time())

    def on_train_step_end(self, train_ctx, train_step, train_loss):
      pass

    def on_eval_step_start(self, train_ctx):
      pass

    def on_eval_step_end(self, train_ctx, eval_loss):
      pass

  def batches():
    for step in itertools.count():
      prompts, chosen, rejected = (
        np.array(shapes.random_ids(shapes.PAIRS, tokens, seed=3 * step + part), np.int32)
        for part, tokens in enumerate((shapes.PROMPT, shapes.RESPONSE, shapes.RESPONSE))
      )
      yield TrainingInput(
        prompt_ids=prompts,
        prompt_mask=np.ones_like(prompts),
        chosen_ids=chosen,
        chosen_mask=np.ones_like(chosen),
        rejected_ids=rejected,
        rejected_mask=np.ones_like(rejected),
      )

  # A step's end is the beginning of the next, so one more is done than timed.
  config = DPOTrainingConfig(eval_every_n_steps=10**9, max_steps=2 + steps, beta=BETAS["dpo"])
  trainer = DPOTrainer(random_model(), random_model(), optax.adamw(LEARNING_RATE), config)
  clock = Clock()
  trainer.with_training_hooks(clock)
  with mesh():
    trainer.train(batches())
  return clock.begun[1:]


def grpo(work: str, steps: int) -> list[float]:
  """Returns when each step of the GRPO learner was done, in seconds since 1970."""
  from tunix.rl.grpo.grpo_learner import GRPOConfig, GRPOLearner
  from tunix.rl.rl_cluster import ClusterConfig, RLCluster, RLTrainingConfig, Role
  from tunix.rl.rollout.base_rollout import RolloutConfig

  k, begun = GROUP_SIZES[work], []

  def batches():
    for step in range(2 + steps):
      begun.append(time.time())  # the learner asks for a batch when it is done with the last
      prompts = shapes.random_ids(shapes.ROLLOUTS // k, shapes.PROMPT, seed=step)
      yield {"prompts": np.array([shapes.text(ids) for ids in prompts])}

  def reward(prompts, completions, **_):
    return [float(i % k) for i in range(len(completions))]  # all different in a group

  roles = (Role.ACTOR, Role.ROLLOUT) + ((Role.REFERENCE,) if BETAS[work] else ())
  cluster = RLCluster(
    actor=random_model(),
    reference=random_model() if BETAS[work] else None,
    tokenizer=Words(),
    cluster_config=ClusterConfig(
      role_to_mesh=dict.fromkeys(roles, mesh()),
      training_config=RLTrainingConfig(
        actor_optimizer=optax.adamw(LEARNING_RATE),
        eval_every_n_steps=10**9,
        max_steps=2 + steps,
      ),
      rollout_config=RolloutConfig(
        max_tokens_to_generate=shapes.RESPONSE,
        max_prompt_length=shapes.PROMPT,
        kv_cache_size=shapes.PROMPT + shapes.RESPONSE,
        temperature=1.0,
      ),
    ),
  )
  config = GRPOConfig(num_generations=k, beta=BETAS[work])
  GRPOLearner(cluster, config, reward_fns=reward).train(batches())
  return begun[1:]


def main(work: str, steps: str, result: str) -> None:
  if work == "generate":
    done = generate(1 + int(steps))
  elif work == "dpo":
    done = dpo(1 + int(steps))
  else:
    done = grpo(work, 1 + int(steps))
  # The second step of Tunix's trainers compiles once more, and is left out.
  seconds = [later - earlier for earlier, later in zip(done[1:-1], done[2:], strict=True)]
  shapes.write(result, done[0], seconds, ("google-tunix", "jax", "flax", "optax"))


if __name__ == "__main__":
  main(*sys.argv[1:])
