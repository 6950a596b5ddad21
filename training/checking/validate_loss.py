"""Whether a config gives its loss what it needs: K, a source of its arrays, sensible numbers."""

import math
import re
from collections.abc import Iterator

from ml_collections import ConfigDict

from tasks.slips import choose
from training.checking import loss_signatures
from training.checking.loss_signatures import LossSignature

# Losses that compare no responses with each other. (A loss of one's own may do as it likes.)
_TAKES_ONE_RESPONSE = (
  *("sft", "kto", "reinforce", "reinforce_plus_plus", "ppo"),
  *("remax", "a_star_po"),
)


def problems(config: ConfigDict) -> Iterator[str]:
  """Problems, a line each."""
  signature = loss_signatures.read(config.algorithm.loss)
  if signature.name in loss_signatures.names():
    yield from _group_size(config, signature)
    yield from _without_effect(config, signature)
  yield from _limits(config, signature)
  yield from _target_kl(config, signature)
  yield from _arrays(config, signature)
  if signature.name == "maxrl":
    yield from _negative_rewards(config)


def takes_one_response(loss: str) -> bool:
  """Whether it learns from a single response to a prompt; one of your own may do as it likes."""
  return loss in _TAKES_ONE_RESPONSE or loss not in loss_signatures.names()


def _group_size(config: ConfigDict, signature: LossSignature) -> Iterator[str]:
  if config.group_size != 1 or signature.name in _TAKES_ONE_RESPONSE:
    return
  is_relative = {"old_logps", "reward_parts"} & {*signature.arrays, *signature.optional_arrays}
  if signature.name == "offline_grpo" or (is_relative and signature.name not in ("rebel", "real")):
    yield (
      f"group_size=1: {signature.name}'s advantage is reward minus the group's mean, so K must be "
      "at least 2 (K=1 gives zero gradient). For one response a prompt use configs/reinforce.py or "
      "configs/sft.py"
    )
  else:
    yield (
      f"group_size=1: {signature.name} compares the responses to a prompt, so K must be at least 2 "
      "(one response a prompt: configs/kto.py:k=1)"
    )


def _limits(config: ConfigDict, signature: LossSignature) -> Iterator[str]:
  """The ranges and choices that the hyperparameters' types state."""
  for name, limit in signature.limits.items():
    key, value = f"algorithm.{name}", config.algorithm[name]
    if not isinstance(limit, tuple):
      problem = (
        limit.problem(key, value) if math.isfinite(value) else ""
      )  # not finite: said already
    elif value in limit:
      problem = ""
    elif name == "pairs" and config.group_size > 2:
      problem = (
        f"{key}={value!r}: which of the {config.group_size} responses to a prompt are compared? "
        "Choose best_worst (one pair a prompt) or all (every two of unequal reward)"
      )
    else:
      problem = choose(key, value, limit)
    if problem:
      yield problem


def _without_effect(config: ConfigDict, signature: LossSignature) -> Iterator[str]:
  """Options that were moved from their defaults, and that another option's value makes idle."""
  options, reference = config.algorithm, config.reference
  if reference.every == 0 and 0 < reference.mix < 1:
    yield f"reference.mix={reference.mix}: the reference is at rest; set reference.every as well"
  idle_alpha = "alpha" in options and options.get("divergence", "alpha") != "alpha"
  if idle_alpha and options.alpha != signature.hyperparameters["alpha"]:
    yield (
      f"algorithm.alpha={options.alpha}: only algorithm.divergence='alpha' reads it, not "
      f"{options.divergence!r}"
    )
  if signature.name == "two_sided_grpo" and 1 < options.ratio_cap < 1 + options.clip_high:
    yield (
      f"algorithm.ratio_cap={options.ratio_cap}: must be at least 1 + algorithm.clip_high = "
      f"{1 + options.clip_high:g}: it bounds the ratios that the clip lets through"
    )
  if signature.name == "pass_at_k" and options.k > config.group_size:
    yield f"algorithm.k={options.k}: must be at most group_size={config.group_size}"
  if signature.name == "rec_ring":
    for side in ("low", "high"):
      if options[f"outer_{side}"] <= options[f"clip_{side}"]:
        yield (
          f"algorithm.outer_{side}={options[f'outer_{side}']}: must be above algorithm.clip_{side}"
          f"={options[f'clip_{side}']}: no token is pushed between the two"
        )


def _target_kl(config: ConfigDict, signature: LossSignature) -> Iterator[str]:
  """Is there a beta that a target can move? (`trial.check_loss` asks whether there is a KL.)"""
  said = f"reference.target_kl={config.reference.target_kl:g}"
  if config.reference.target_kl <= 0:
    return
  if "beta" not in signature.hyperparameters:
    yield f"{said}: {signature.name} has no beta that could adapt"
  elif config.algorithm.beta == 0:
    yield f"{said}: begins at algorithm.beta=0, and multiplied it stays 0; set algorithm.beta=0.1"


def _arrays(config: ConfigDict, signature: LossSignature) -> Iterator[str]:
  """Does the source bring the arrays that the loss names?"""
  name, source, words = signature.name, config.source, signature.arrays
  vocabulary = loss_signatures.vocabulary()
  if source == "demonstrations":
    if config.group_size != 1:
      yield (
        "source='demonstrations': a prompt has one correct answer, so group_size must be 1, "
        f"not {config.group_size}"
      )
    missing = [word for word in words if vocabulary[word][1] == "sampler"]
    if missing:
      yield (
        f"source='demonstrations': {name} needs {missing[0]}, and no policy wrote the "
        "demonstrations; use the source online or offline"
      )
  drawn = [word for word in words if vocabulary[word][1] == "online"]
  if drawn and source != "online":
    yield f"source={source!r}: {name} needs {drawn[0]}, which only source='online' has"
  shaped = [rule for rule in _shaping(config) if source == "demonstrations" or "scores" in words]
  if "reward_parts" in words:
    shaped = [rule for rule in _shaping(config) if rule != "scoring.mask_truncated"]
    shaped += ["sampling.refills"] * (config.sampling.refills > 0)
  if shaped:
    yield f"{shaped[0]}: has no effect on {name} from source={source!r}; leave it at its default"
  if "scores" in words and source != "offline":
    yield f"source={source!r}: a reward model ({name}) learns from written pairs: source='offline'"
  if "scores" in words and config.eval.samples < 2:
    yield f"eval.samples={config.eval.samples}: a reward model is judged on pairs; at least 2"
  of_tokens = [word for word in words if vocabulary[word][0] == "B K T" and word != "mask"]
  if "scores" in words and of_tokens:
    yield f"algorithm.loss={name!r}: a reward model's loss has scores, and no log-probs or values"
  if "old_values" in words and "values" not in words:
    yield f"algorithm.loss={name!r}: it names old_values without values, so there is no critic"
  yield from _on_request(config, signature)
  uses_reference = {"ref_logps", "reference_rewards", "by_reference"} & {*words} or (
    "ref_logps" in signature.optional_arrays and config.algorithm.get("beta", 1) != 0
  )
  if config.reference.every > 0 and not uses_reference:
    why = "algorithm.beta=0" if "ref_logps" in signature.optional_arrays else f"{name} has none"
    yield f"reference.every={config.reference.every}: no reference that could move ({why})"
  if config.reference.run and not uses_reference:
    yield f"reference.run={config.reference.run!r}: {name} looks back at no reference"
  if name == "on_policy_distillation" and not config.reference.run:
    yield (
      f"algorithm.loss={name!r}: a finished run of the same model is its teacher, "
      "--config.reference.run=FOLDER; without one the policy would learn from itself"
    )


def _on_request(config: ConfigDict, signature: LossSignature) -> Iterator[str]:
  """Sampling that the loss asks for beside, or among, the policy's K responses."""
  name, asked = signature.name, {*signature.arrays, *signature.optional_arrays}
  samples, every = config.reference.samples, config.reference.every
  refills = config.sampling.refills
  if "reference_rewards" in asked and samples == 0:
    yield (
      f"reference.samples=0: {name} asks for rewards of the reference's responses; of 8 to each "
      "prompt: --config.reference.samples=8"
    )
  elif samples > 0 and "reference_rewards" not in asked:
    yield f"reference.samples={samples}: {name} asks for no rewards of the reference's responses"
  if every > 0 and {"reference_rewards", "by_reference"} & asked:
    yield f"reference.every={every}: {name} has responses drawn from a reference at rest"
  if refills > 0 and {"greedy_rewards", "reference_rewards"} & asked:
    yield (
      f"sampling.refills={refills}: a group of equal rewards teaches {name}, too, whose baseline "
      "is not the group's; leave it at 0"
    )
  if "by_reference" in asked and config.group_size == 1 and name not in loss_signatures.names():
    yield f"group_size=1: {name} has half of the responses from the reference; at least 2"


def _negative_rewards(config: ConfigDict) -> Iterator[str]:
  """For a loss that divides by the mean reward."""
  scoring = config.scoring
  why = "maxrl divides by a prompt's mean reward, so no reward may be negative"
  if scoring.reward == "model":
    yield f"scoring.reward='model': its scores have any sign, and {why}"
  if scoring.unfinished < 0:
    yield f"scoring.unfinished={scoring.unfinished}: {why}"
  if scoring.overlong_tokens > 0:
    yield f"scoring.overlong_tokens={scoring.overlong_tokens}: the penalty is negative, and {why}"
  if re.search(r"(?:^|\s)-\s*[\w.]", config.task.reward):
    yield f"task.reward={config.task.reward!r}: it takes something off, and {why}"


def _shaping(config: ConfigDict) -> list[str]:
  """The fields of `scoring` that change what is trained on."""
  scoring = config.scoring
  is_set = {
    "reward": scoring.reward == "model",
    "unfinished": scoring.unfinished != 0,
    "overlong_tokens": scoring.overlong_tokens > 0,
    "mask_truncated": scoring.mask_truncated,
  }
  return [f"scoring.{name}" for name, value in is_set.items() if value]
