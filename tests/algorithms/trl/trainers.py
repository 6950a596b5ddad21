"""TRL's trainers without a language model: from log-probs and rewards to the loss, by TRL's code.

A trainer is made without its constructor and given the attributes that its loss reads. In place of
the model stands an object that returns numbers of ours. Each function below takes a batch in the
words of algorithms/shapes.py, as tensors, and options by TRL's names; it returns TRL's loss.
"""

import collections
import contextlib
from types import SimpleNamespace

import torch  # pyrefly: ignore
import trl  # pyrefly: ignore
from trl.experimental.cpo import CPOTrainer  # pyrefly: ignore
from trl.experimental.gmpo import GMPOTrainer  # pyrefly: ignore
from trl.experimental.orpo import ORPOTrainer  # pyrefly: ignore

IGNORED = -100  # the label of a position that has no log-prob

# --- stand-ins ------------------------------------------------------------------------------------


class Policy:
  """In place of a language model: the numbers of each row's tokens, and 0 at the ignored ones."""

  training = True
  is_gradient_checkpointing = False

  def __init__(self, log_probs, **others):
    unused = ("entropy", "log_sum_sq_probs", "mean_logits", "is_top1")
    zeros = torch.zeros_like(log_probs)
    self.outputs = dict.fromkeys(unused, zeros) | {"log_probs": log_probs} | others

  def __call__(self, input_ids, labels, **_):
    counts = labels[:, 1:] != IGNORED
    outputs = {name: torch.where(counts, x, 0.0) for name, x in self.outputs.items()}
    return SimpleNamespace(**outputs | {"is_top1": outputs["is_top1"].bool()})


class LogitsPolicy(Policy):
  """The same for trainers that read logits: token 1 of a vocabulary of 2 has the given log-prob."""

  def __call__(self, input_ids, **_):
    log_probs = self.outputs["log_probs"]
    logits = torch.stack([torch.log(-torch.expm1(log_probs)), log_probs], dim=-1)
    after_the_last = torch.zeros_like(logits[:, :1])
    return SimpleNamespace(logits=torch.cat([logits, after_the_last], dim=1))


class RewardModel:
  training = True

  def __init__(self, scores):
    self.scores = scores

  def __call__(self, **_):
    return SimpleNamespace(logits=self.scores[:, None])


def unchanged(x, **_):
  return x


ACCELERATOR = SimpleNamespace(
  device=torch.device("cpu"),
  num_processes=1,
  process_index=0,
  is_main_process=True,
  sync_gradients=True,
  autocast=contextlib.nullcontext,
  gather=unchanged,
  gather_for_metrics=unchanged,
  pad_across_processes=unchanged,
  reduce=unchanged,
)


def bare(trainer_class, model, args=None, **attributes):
  """A trainer that no constructor has seen."""
  trainer = object.__new__(trainer_class)
  common = {
    "accelerator": ACCELERATOR,
    "args": SimpleNamespace(gradient_checkpointing_kwargs=None, report_to=[], **args or {}),
    "state": SimpleNamespace(global_step=0),
    "model": model,
    "aux_loss_enabled": False,
    "_metrics": {"train": collections.defaultdict(list)},
    "_total_train_tokens": 0,
    "_tp_size": 1,
  }
  for name, value in (common | attributes).items():
    setattr(trainer, name, value)
  return trainer


def with_prompt(mask):
  """[rows, 1 + T]: before the response, one prompt token, which has no log-prob."""
  return torch.nn.functional.pad(mask.long(), (1, 0))


def chosen_then_rejected(x):
  """[2B, ...] from [B, 2, ...]: the order in which TRL stacks pairs."""
  rows, rewards = torch.arange(len(x["rewards"])), x["rewards"]
  best, worst = rewards.argmax(dim=1), rewards.argmin(dim=1)
  return {name: torch.cat([a[rows, best], a[rows, worst]]) for name, a in x.items()}


# --- preferences ----------------------------------------------------------------------------------


def dpo(x, loss_type="sigmoid", divergence="reverse_kl", alpha=0.5, **options):
  x = chosen_then_rejected(x)
  policy = Policy(x["logps"], log_sum_sq_probs=x["log_sum_sq_probs"])
  defaults = {"beta": 0.5, "label_smoothing": 0.1, "ld_alpha": None, "use_weighting": False}
  trainer = bare(
    trl.DPOTrainer,
    policy,
    {"discopop_tau": 0.5},
    ref_model=Policy(x["ref_logps"]),
    precompute_ref_logps=False,
    f_divergence_type=divergence,
    f_alpha_divergence_coef=alpha,
    loss_types=[loss_type],
    loss_weights=[1.0],
    **defaults | options,
  )
  mask = with_prompt(x["mask"])
  inputs = {"input_ids": mask, "attention_mask": mask, "completion_mask": mask}
  return trainer._compute_loss(policy, inputs, return_outputs=False)


def kto(x, **options):
  """The rows of the KL estimate are the collator's choice; here they are the batch's own."""
  x = {name: a.flatten(0, 1) for name, a in x.items()}
  policy = Policy(x["logps"])
  trainer = bare(
    trl.KTOTrainer,
    policy,
    ref_model=Policy(x["ref_logps"]),
    precompute_ref_logps=False,
    calculate_KL=True,
    loss_type="kto",
    **options,
  )
  mask = with_prompt(x["mask"])
  inputs = {"input_ids": mask, "attention_mask": mask, "completion_mask": mask}
  inputs |= {f"KL_{name}": mask for name in inputs} | {"label": x["rewards"] > 0}
  return trainer._compute_loss(policy, inputs, return_outputs=False)


def reference_free(trainer_class, x, **options):
  x = chosen_then_rejected(x)
  policy = LogitsPolicy(x["logps"])
  padding = {"padding_value": 0, "pad_token_id": 0}
  trainer = bare(trainer_class, policy, is_encoder_decoder=False, **padding, **options)
  mask = with_prompt(x["mask"])
  labels = mask.masked_fill(mask == 0, IGNORED)
  inputs = {"input_ids": mask, "attention_mask": mask, "labels": labels}
  pairs = {f"chosen_{name}": rows[: len(rows) // 2] for name, rows in inputs.items()}
  pairs |= {f"rejected_{name}": rows[len(rows) // 2 :] for name, rows in inputs.items()}
  return trainer.get_batch_loss_metrics(policy, pairs)[0]


def orpo(x, **options):
  return reference_free(ORPOTrainer, x, **options)


def simpo(x, **options):
  defaults = {"loss_type": "simpo", "label_smoothing": 0.0, "alpha": 0.0, "cpo_alpha": 0.0}
  return reference_free(CPOTrainer, x, **defaults | options)


def cdpo(x, **options):
  """TRL's DPO has no label smoothing; its CPO does, and is given log-ratios for log-probs here."""
  x = chosen_then_rejected(x)
  chosen, rejected = ((x["logps"] - x["ref_logps"]) * x["mask"]).sum(dim=1).chunk(2)
  trainer = bare(CPOTrainer, None, loss_type="sigmoid", alpha=0.0, **options)
  return trainer.cpo_loss(chosen, rejected)[0].mean()


def reward_model(x, margin=None, centering=None):
  x = chosen_then_rejected(x)
  model = RewardModel(x["scores"])
  trainer = bare(trl.RewardTrainer, model, {"center_rewards_coefficient": centering})
  inputs = {"attention_mask": x["mask"]}
  if margin is not None:
    chosen, rejected = x["rewards"].chunk(2)
    inputs["margin"] = margin * (chosen - rejected)
  return trainer.compute_loss(model, inputs)


# --- groups ---------------------------------------------------------------------------------------


def from_rewards_to_loss(trainer_class, x, parts, args=None, sampler=None, **attributes):
  """TRL's own way from sampled responses and their rewards to advantages, and on to the loss.

  The trainer's model is the old policy, which samples; the loss is given the current one. `parts`
  [B, K, R] are the rewards by R reward functions, `sampler` log-probs as a sampler reports them.
  """
  k = x["mask"].shape[1]
  x = {name: a.flatten(0, 1) for name, a in x.items()}
  rows = len(x["mask"])
  prompts, responses = [[1]] * rows, [[1] * int(n) for n in x["mask"].sum(dim=1)]
  parts = parts.flatten(0, 1).T.tolist()
  collecting = {
    "per_device_train_batch_size": rows,
    "steps_per_generation": 1,
    "gradient_accumulation_steps": 1,
  }
  trainer = bare(
    trainer_class,
    Policy(x["old_logps"]),
    collecting | (args or {}),
    ref_model=Policy(x["ref_logps"]),
    num_generations=k,
    num_iterations=2,  # several steps a batch: TRL then keeps the old policy's log-probs
    current_gradient_accumulation_steps=1,
    reward_funcs=[lambda values=values, **_: values for values in parts],
    reward_processing_classes=[None] * len(parts),
    reward_func_names=["reward"] * len(parts),
    reward_weights=torch.ones(len(parts)),
    tools=None,
    environments=None,
    environment_factories=None,
    mask_truncated_completions=False,
    pad_to_multiple_of=None,
    log_multimodal=False,
    _tokenizer=SimpleNamespace(pad_token_id=0),
    _logs={"prompt": [], "completion": [], "rewards": {"reward": []}, "advantages": []},
    _pending_extra_logs={},
    _pending_metrics={},
    **attributes,
  )
  generated = (prompts, responses, None, responses, sampler, {}, None, None)
  if trainer_class is trl.RLOOTrainer:
    generated = (prompts, responses, responses)
  trainer._generate = lambda _: generated
  inputs = trainer._generate_and_score_completions([{"prompt": "?"}] * rows)
  return trainer._compute_loss(Policy(x["logps"], entropy=x["entropy"]), inputs)


def grpo(x, loss_type="grpo", trainer_class=trl.GRPOTrainer, args=None, **options):
  defaults = {
    "beta": 0.0,
    "epsilon_low": 0.2,
    "epsilon_high": 0.2,
    "importance_sampling_level": "token",
    "scale_rewards": "group",
    "multi_objective_aggregation": "sum_then_normalize",
    "max_completion_length": 256,
    "top_entropy_quantile": 1.0,
    "off_policy_mask_threshold": None,
    "_entropy_bonus_enabled": "entropy_coef" in options,
    "use_adaptive_entropy": False,
    "use_vllm": False,
  }
  default_args = {
    "delta": None,
    "use_bias_correction_kl": False,
    "sapo_temperature_pos": 1.0,
    "sapo_temperature_neg": 1.05,
    "vespo_k_pos": 2.0,
    "vespo_lambda_pos": 3.0,
    "vespo_k_neg": 3.0,
    "vespo_lambda_neg": 2.0,
  }
  options = defaults | options
  decoupled = options["multi_objective_aggregation"] == "normalize_then_sum"
  parts = x["reward_parts"] if decoupled else x["rewards"][..., None]
  args = default_args | (args or {})
  return from_rewards_to_loss(trainer_class, x, parts, args, loss_type=loss_type, **options)


def gmpo(x, **options):
  return grpo(x, trainer_class=GMPOTrainer, **options)


def truncated_grpo(x, mode, cap, **options):
  rows = zip(x["sampler_logps"].flatten(0, 1), x["mask"].flatten(0, 1), strict=True)
  return grpo(
    x,
    sampler=[logps[mask].tolist() for logps, mask in rows],
    use_vllm=True,
    vllm_importance_sampling_correction=True,
    vllm_importance_sampling_mode=mode,
    vllm_importance_sampling_clip_min=None,
    vllm_importance_sampling_clip_max=cap,
    **options,
  )


def rloo(x, **options):
  defaults = {"epsilon_low": 0.2, "epsilon_high": 0.2, "reward_clip_range": None}
  defaults["normalize_advantages"] = False
  return from_rewards_to_loss(trl.RLOOTrainer, x, x["rewards"][..., None], **defaults | options)
