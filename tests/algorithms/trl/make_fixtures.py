"""Losses and gradients by TRL's own code, for `tests/algorithms/test_trl.py` to compare ours with.

  pip install trl==1.16.0 torch
  python tests/algorithms/trl/make_fixtures.py

writes trl_1_16_0.npz beside this file. Run it in an environment of its own: Counterpoint needs
neither. `trainers.py` calls TRL. The names in the file are

  trl                      the version
  <batch>/<word>           the inputs, in the words of algorithms/shapes.py
  <case>/batch             the batch that the case is computed on
  <case>/loss
  <case>/gradient/<word>   d loss / d input: [B, K, T], or [B, K] of scores

TRL casts to float32 in a few places (the alpha divergence, ORPO's log-odds, rewards, the quantile
of entropies). Here float32 is read as float64: formulas are compared, not their rounding.
"""

import contextlib
import functools
import pathlib
from unittest import mock

import numpy as np
import torch  # pyrefly: ignore
import trl  # pyrefly: ignore
from trainers import (  # pyrefly: ignore
  cdpo,
  dpo,
  gmpo,
  grpo,
  kto,
  orpo,
  reward_model,
  rloo,
  simpo,
  truncated_grpo,
)

B, T = 4, 6
DIFFERENTIABLE = ("logps", "entropy", "scores")

# --- inputs ---------------------------------------------------------------------------------------


def random_batch(seed, k):
  """Policies 0.3 nats a token apart, so that ratios are clipped; ragged lengths."""
  rng = np.random.default_rng(seed)
  shape = (B, k, T)
  arrays: dict[str, np.ndarray] = {"logps": -0.05 - rng.exponential(1.0, shape)}
  for name in ("old_logps", "ref_logps", "sampler_logps"):
    arrays[name] = arrays["logps"] + 0.3 * rng.normal(size=shape)
  arrays["entropy"] = rng.exponential(1.0, shape)
  arrays["log_sum_sq_probs"] = -rng.exponential(0.5, shape)
  arrays["scores"] = rng.normal(size=(B, k))
  arrays["reward_parts"] = rng.normal(size=(B, k, 2))
  if k > 2:
    arrays["reward_parts"][-1] = 1.0  # a group of ties; TRL has no such pair
  arrays["rewards"] = arrays["reward_parts"].sum(axis=-1)
  lengths = rng.integers(1, T + 1, (B, k))
  lengths[0, 0] = T
  arrays["mask"] = np.arange(T) < lengths[..., None]
  return arrays


def with_chosen_of_equal_length(arrays):
  lengths = arrays["mask"].sum(axis=-1)
  np.put_along_axis(lengths, arrays["rewards"].argmax(axis=1)[:, None], 4, axis=1)
  return arrays | {"mask": np.arange(T) < lengths[..., None]}


def with_an_unscored_response(arrays, parts=slice(None)):
  """NaN, which is TRL's None: a response without any reward, or without some of its parts."""
  reward_parts = arrays["reward_parts"].copy()
  reward_parts[1, 2, parts] = np.nan
  return arrays | {"reward_parts": reward_parts, "rewards": reward_parts.sum(axis=-1)}


# With this seed policy and reference sort the pairs differently, which AOT's loss is about.
PAIRS, GROUPS = random_batch(seed=31, k=2), random_batch(seed=1, k=4)
BATCHES = {
  "pairs": PAIRS,
  "pairs_above_the_reference": PAIRS | {"ref_logps": PAIRS["ref_logps"] - 0.2},
  "pairs_below_the_reference": PAIRS | {"ref_logps": PAIRS["ref_logps"] + 0.2},
  "pairs_with_chosen_of_equal_length": with_chosen_of_equal_length(PAIRS),
  "groups": GROUPS,
  "groups_unscored": with_an_unscored_response(GROUPS),
  "groups_part_unscored": with_an_unscored_response(GROUPS, parts=0),
}

# --- the cases, by the names that test_trl.py knows -----------------------------------------------


def on(batch, loss, **options):
  return batch, functools.partial(loss, **options)


def preference_cases():
  pairs = functools.partial(on, "pairs", dpo)
  for loss in ("sigmoid", "ipo", "exo_pair", "robust", "discopop", "sigmoid_norm"):
    yield loss, pairs(loss_type=loss)
    yield f"{loss}_js", pairs(loss_type=loss, divergence="js_divergence")
  yield "hinge", pairs(loss_type="hinge", beta=3.0)  # at 0.5 no pair would be beyond the kink
  yield "hinge_js", pairs(loss_type="hinge", beta=3.0, divergence="js_divergence")
  yield "sigmoid_forward_kl", pairs(divergence="forward_kl")
  for alpha in (0.5, 1.0, 2.0):
    yield f"sigmoid_alpha_{alpha}", pairs(divergence="alpha_divergence", alpha=alpha)
  yield "sigmoid_smoothed", on("pairs", cdpo, beta=0.5, label_smoothing=0.1)
  yield "ld_dpo", pairs(ld_alpha=0.3)
  yield "wpo", pairs(use_weighting=True)
  for loss in ("nca_pair", "bco_pair", "sppo_hard", "apo_zero", "apo_down", "sft"):
    yield loss, pairs(loss_type=loss)
  for loss in ("aot", "aot_unpaired"):
    yield loss, pairs(loss_type=loss, label_smoothing=0.0)
    yield f"{loss}_smoothed", pairs(loss_type=loss, label_smoothing=0.1)
  weights = {"desirable_weight": 1.0, "undesirable_weight": 1.3}
  for side in ("above", "below"):  # the KL estimate is positive, or it is cut at 0
    yield f"kto_{side}", on(f"pairs_{side}_the_reference", kto, beta=0.5, **weights)
  yield "orpo", on("pairs_with_chosen_of_equal_length", orpo, beta=0.2)
  yield "simpo", on("pairs", simpo, beta=2.0, simpo_gamma=0.5)
  yield "reward_model", on("pairs", reward_model)
  yield "reward_model_margin", on("pairs", reward_model, margin=0.5)
  yield "reward_model_centering", on("pairs", reward_model, centering=0.1)


def group_cases():
  groups = functools.partial(on, "groups", grpo)
  sequence = {"importance_sampling_level": "sequence"}
  yield "grpo", groups()
  yield "grpo_kl", groups(beta=0.1)
  weighted = {"beta": 0.1, "args": {"use_bias_correction_kl": True}}
  yield "grpo_kl_weighted", groups(**weighted)
  yield "dapo_kl_weighted", groups(loss_type="dapo", epsilon_high=0.28, **weighted)
  yield "cispo_kl_weighted", groups(loss_type="cispo", epsilon_high=1.2, **weighted)
  yield "grpo_unscored", on("groups_unscored", grpo, beta=0.1)
  yield "grpo_unclipped", groups(epsilon_low=1e9, epsilon_high=1e9)
  yield "grpo_two_sided", groups(args={"delta": 1.5})
  yield "dr_grpo", groups(loss_type="dr_grpo", scale_rewards="none", beta=0.1)
  yield "dapo", groups(loss_type="dapo", epsilon_high=0.28, beta=0.1)
  yield "bnpo", groups(loss_type="bnpo", beta=0.1)
  yield "gspo", groups(epsilon_low=0.05, epsilon_high=0.1, beta=0.1, **sequence)
  yield "luspo", groups(loss_type="luspo", epsilon_low=0.05, epsilon_high=0.1, **sequence)
  yield "luspo_kl", groups(loss_type="luspo", beta=0.1, **sequence)
  yield "gmpo", on("groups", gmpo, epsilon_low=0.3, epsilon_high=0.4, beta=0.1)
  yield "cispo", groups(loss_type="cispo", epsilon_high=1.2, beta=0.1)
  temperatures = {"sapo_temperature_pos": 1.0, "sapo_temperature_neg": 1.5}
  yield "sapo", groups(loss_type="sapo", args=temperatures, beta=0.1)
  yield "vespo", groups(loss_type="vespo", beta=0.1)
  yield "entropy_bonus", groups(entropy_coef=0.05, beta=0.1)
  yield "top_entropy", groups(top_entropy_quantile=0.3, beta=0.1)
  yield "off_policy_mask", groups(off_policy_mask_threshold=0.05, beta=0.1)
  for level in ("token", "sequence"):
    yield (
      f"truncated_{level}",
      on("groups", truncated_grpo, mode=f"{level}_truncate", cap=1.2, beta=0.1),
    )
  yield "batch_scaled", groups(scale_rewards="batch")
  for suffix in ("", "_unscored", "_part_unscored"):
    options = {"multi_objective_aggregation": "normalize_then_sum"}
    yield f"decoupled_rewards{suffix}", on(f"groups{suffix}", grpo, **options)
  yield "rloo", on("groups", rloo, beta=0.2)
  yield "rloo_unscored", on("groups_unscored", rloo, beta=0.2)


# --- the file -------------------------------------------------------------------------------------


@contextlib.contextmanager
def float32_read_as_float64():
  torch.set_default_dtype(torch.float64)
  with (
    mock.patch.object(torch, "float32", torch.float64),
    mock.patch.object(torch.Tensor, "float", torch.Tensor.double),
  ):
    yield


def loss_and_gradients(arrays, loss):
  tensors = {name: torch.tensor(x) for name, x in arrays.items()}
  inputs = [tensors[name].requires_grad_() for name in DIFFERENTIABLE]
  value = loss(tensors)
  gradients = torch.autograd.grad(value, inputs, allow_unused=True)
  named = zip(DIFFERENTIABLE, gradients, strict=True)
  return value.item(), {name: g.numpy() for name, g in named if g is not None}


def main():
  contents = {"trl": trl.__version__}
  for batch, arrays in BATCHES.items():
    contents |= {f"{batch}/{name}": x for name, x in arrays.items()}
  with float32_read_as_float64():
    for name, (batch, loss) in [*preference_cases(), *group_cases()]:
      value, gradients = loss_and_gradients(BATCHES[batch], loss)
      contents |= {f"{name}/batch": batch, f"{name}/loss": value}
      contents |= {f"{name}/gradient/{word}": g for word, g in gradients.items()}
      print(f"{name:24} {value:.6f}  {' '.join(gradients)}")
  np.savez_compressed(pathlib.Path(__file__).with_name("trl_1_16_0.npz"), **contents)


if __name__ == "__main__":
  main()
