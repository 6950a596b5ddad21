"""A correction in a run: the gradient, whose log-probs, resuming, what is refused."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from algorithms import dpo, grpo
from algorithms.mismatch import Correction
from models.log_probs import token_log_probs
from models.partitioning import make_mesh
from tests.models.tiny import TINY, log_probs, ragged_groups, tiny_params
from tests.training.small_configs import SMALL_MODEL
from tests.training.stopped_runs import rows_of, whole_and_resumed
from tests.training.test_population import assert_same, configs_of, one_by_one, together
from training import build
from training.annotate import annotate
from training.batches import sampling_warnings
from training.checking import config_files, digests, validate
from training.errors import UserError
from training.population.programs import program_of
from training.scoring import Scorer
from training.sources.online import Online
from training.start import starting_state
from training.state import TrainState, random_params
from training.update import UpdateSpec, loss_gradient

PARTS = (("truncate", (("level", "token"),)), ("mask", (("level", "geometric"),)))
NUMBERS = ({"cap": 1.02}, {"low": 0.97, "high": 1.5})
SMALL = SMALL_MODEL | {
  **{"steps": 6, "batch_prompts": 8, "group_size": 4, "task.train_prompts": 64},
  **{"task.eval_prompts": 8, "base.steps": 0, "checkpoint.every": 3, "eval.every": 6},
  **{"wandb.mode": "disabled", "eval.samples": 1, "task.reward": "length(max=5)"},
}
WEIGHT = "truncate(token, 1.01) * mask(geometric, 0.9, 1.1) * veto(1e-4)"


def config_of(config="configs/grpo.py", **fields):
  return config_files.load(config, SMALL | fields)


def parts_of(config="configs/grpo.py", **fields):
  return build.parts_of(config_of(config, **fields))


# --- the update ---------------------------------------------------------------------------------


def groups_of_three_policies():
  groups = ragged_groups()
  old, sampler = (log_probs(TINY, tiny_params(seed=seed), groups) for seed in (1, 2))
  return dataclasses.replace(groups, old_logps=old, ref_logps=old, sampler_logps=sampler)


@pytest.mark.parametrize("micro_batches", [1, 4])
@pytest.mark.parametrize("anchor", ["recomputed", "sampler"])
@pytest.mark.parametrize("loss", [grpo, dpo])
def test_the_gradient_is_the_weighted_cotangent_pushed_back_through_the_network(
  loss, anchor, micro_batches
):
  groups, params = groups_of_three_policies(), tiny_params()
  correction = Correction(anchor, PARTS)
  spec = UpdateSpec(TINY, make_mesh(), loss, micro_batches=micro_batches, correction=correction)
  numbers = {"algorithm": {}, "temperature": 1.0, "correction": NUMBERS}
  gradient, metrics, implied = jax.jit(loss_gradient, static_argnums=0)(
    spec, TrainState(params, None, 0), groups, numbers
  )

  @jax.jit
  def expected(params):
    logps, pull_back = jax.vjp(lambda p: token_log_probs(TINY, p, groups)[0], params)
    given = {"rewards": groups.rewards, "mask": groups.mask}
    given |= {"old_logps": groups.old_logps} if loss is grpo else {"ref_logps": groups.ref_logps}
    cotangent = jax.grad(lambda x: loss(x, **given)[0])(logps)
    trainer = groups.old_logps if anchor == "recomputed" else logps
    weights = correction.weights(trainer, groups.sampler_logps, groups.mask, NUMBERS)
    return pull_back(weights * cotangent)[0], weights, -(weights * cotangent * groups.mask).sum()

  by_hand, weights, total = expected(params)
  counted = np.asarray(weights)[np.asarray(groups.mask)]
  assert (counted == 0).any() and (counted > 1).any() and (counted < 1).any()
  largest = max(np.abs(x).max() for x in jax.tree.leaves(by_hand))
  for ours, wanted in zip(
    jax.tree.leaves(gradient["params"]), jax.tree.leaves(by_hand), strict=True
  ):
    np.testing.assert_allclose(ours, wanted, rtol=0, atol=3e-6 * largest)
  assert metrics["sampling/masked/tokens"] == pytest.approx((counted == 0).mean())
  # The implied rewards are those of the corrected gradient.
  lengths = np.asarray(groups.mask).sum(axis=-1)
  np.testing.assert_allclose((implied * lengths).sum() / implied.size, total, rtol=1e-3, atol=1e-6)


def test_numbers_are_arguments_and_an_empty_weight_is_no_part_of_the_program():
  a, b, plain = (
    parts_of(**{"correction.weight": weight}) for weight in ("veto(1e-4)", "veto(1e-5)", "")
  )
  assert a.update_spec == b.update_spec != plain.update_spec
  assert (a.numbers["correction"], b.numbers["correction"]) == (
    ({"threshold": 1e-4},),
    ({"threshold": 1e-5},),
  )
  assert plain.correction is None and "correction" not in plain.numbers
  assert plain.words == plain.loss.words and not plain.recomputes
  programs = [program_of(parts.config.to_dict()) for parts in (a, b, plain)]
  assert programs[0] == programs[1] != programs[2]


# --- whose log-probs ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["configs/grpo.py", "configs/dpo.py"])
def test_the_anchor_says_whose_log_probs_the_loss_has(name):
  """Under top-p, and drawn from an older policy: three policies, all different."""
  fields = {"correction.weight": "veto(1e-4)", "sampling.top_p": 0.5, "source": "online"}
  older, now = (random_params(parts_of().model, parts_of().mesh, seed) for seed in (0, 1))
  found = {}
  for anchor in ("recomputed", "sampler"):
    parts = parts_of(name, **fields, **{"correction.anchor": anchor, "group_size": 4})
    assert not sampling_warnings(parts.config, parts.words)
    batch = Online(parts, Scorer(parts)).collect(0, older).groups
    groups = annotate(parts, starting_state(parts, now), older, batch)
    mask, drawn = batch.mask, batch.sampler_logps
    assert (drawn > batch.old_logps + 0.1)[mask].any()  # of what top-p left
    np.testing.assert_array_equal(groups.sampler_logps, drawn)
    found[anchor] = groups.old_logps
  np.testing.assert_array_equal(found["sampler"], drawn)
  again = Online(parts, Scorer(parts)).collect(0, now)  # the same sizes: compiled already
  assert again.groups.mask.shape == mask.shape
  by_hand = log_probs(parts.model, now, batch)
  np.testing.assert_allclose(
    np.where(mask, found["recomputed"], 0), np.where(mask, by_hand, 0), atol=1e-5
  )
  assert np.abs(found["recomputed"] - batch.old_logps)[mask].max() > 0.01


# --- a run --------------------------------------------------------------------------------------


@pytest.mark.parametrize("anchor", ["recomputed", "sampler"])
def test_a_run_with_a_lag_that_was_stopped_ends_with_the_same_bits(tmp_path, anchor):
  weight = WEIGHT if anchor == "recomputed" else "mask(token, 0.99, 1.01)"
  fields = {"correction.weight": weight, "correction.anchor": anchor, "sampling.lag": 2}
  config = config_of(**fields, inner_epochs=2, **{"replay.share": 0.25})
  whole, resumed = whole_and_resumed(config, tmp_path)
  rows = rows_of(whole.folder)
  assert rows == rows_of(resumed.folder) and len(rows) == 7
  assert rows[-1]["train/sampling/sampling_logp_difference/mean"] > 1e-4
  assert rows[-1]["train/sampling/effective_sample_size"] < 1


@pytest.mark.slow
def test_members_of_a_population_have_numbers_of_their_own(tmp_path):
  weights = ("truncate(token, 1.001) * veto(0.9)", "truncate(token, 1.5) * veto(0.1)")
  members = [{"seed": i, "correction.weight": weight} for i, weight in enumerate(weights)]
  configs = configs_of("configs/grpo.py", members, **{"sampling.lag": 1, "steps": 3})
  for member, single in zip(
    together(tmp_path, configs), one_by_one(tmp_path, configs), strict=True
  ):
    assert_same(member, single)


# --- what is refused ----------------------------------------------------------------------------

VETO = {"correction.weight": "veto(1e-4)"}


@pytest.mark.parametrize(
  "config, fields, message",
  [
    (
      "grpo",
      {"correction.weight": "trunc(token, 2)"},
      "no part 'trunc'; there are truncate(token|",
    ),
    ("grpo", {"correction.weight": "truncate(token)"}, "is not truncate(token|sequence, cap)"),
    ("grpo", {"correction.weight": "truncate(tokn, 2)"}, "Did you mean token?"),
    ("grpo", {"correction.weight": "truncate(token, 1)"}, "cap=1: must be above 1: a ratio is 1"),
    ("grpo", {"correction.weight": "veto(1)"}, "must be above 0 and below 1: what is below"),
    ("grpo", {"correction.weight": "veto(x)"}, "threshold='x': is no number"),
    ("grpo", {"correction.weight": "veto(nan)"}, "threshold=nan: must be a finite number"),
    ("grpo", {"correction.weight": "veto(floor=0.1)"}, "veto(floor=0.1) is not veto(threshold)"),
    ("grpo", {"correction.weight": "mask(token, 2, 1)"}, "keeps nothing, as low is not below high"),
    ("grpo", {"correction.weight": "veto(0.1) + veto(0.1)"}, "write it like truncate(token, 2) * "),
    ("grpo", {"correction.weight": "veto(0.1) *"}, "cannot read"),
    ("grpo", VETO | {"correction.anchor": "samplr"}, "Did you mean sampler?"),
    ("grpo", {"correction.anchor": "sampler"}, "there is no correction.weight that it is of"),
    (
      "grpo",
      {"correction.weight": "truncate(token, 2)", "correction.anchor": "sampler"},
      "truncate would count pi / mu twice, as grpo's own ratio",
    ),
    (
      "grpo",
      VETO | {"algorithm.loss": "truncated_grpo"},
      "truncated_grpo corrects for the sampler",
    ),
    ("sft", VETO, "no policy drew the demonstrations"),
    ("dpo", VETO | {"sampling.top_p": 0.9}, "not of what sampling.top_p=0.9 draws"),
    ("reward_model", VETO, "is of the gradient in logps, and bradley_terry has none"),
  ],
)
def test_a_config_that_cannot_be_corrected_is_refused(config, fields, message):
  with pytest.raises(UserError) as error:
    validate.check(config_files.load(f"configs/{config}.py", fields))
  lines = [line for line in str(error.value).splitlines() if line.startswith("correction")]
  assert len(lines) == 1 and message in lines[0]


def test_texts_without_log_probs_are_refused(tmp_path):
  rows = [
    {"prompt": f"p{i}", "responses": ["a", "b"], "scores": [1, 0], "logps": [[-1.0, -1.0]] * 2}
    for i in range(4)
  ]
  del rows[2]["logps"]
  path = tmp_path / "rows.jsonl"
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))
  fields = VETO | {
    **{"task.name": "groups", "task.data": str(path), "task.reward": "", "source": "offline"},
    **{"task.train_prompts": 0, "task.eval_prompts": 1, "batch_prompts": 1, "group_size": 2},
    **{"base.steps": 0, "steps": 3},
  }
  with pytest.raises(UserError, match="groups of .* have no 'logps', so it is not known"):
    validate.check(config_files.load("configs/off_policy_grpo.py", fields))


def test_a_run_knows_the_code_of_its_parts():
  plain, corrected = (
    [one.spoken for one in digests.named(config_of(**{"correction.weight": weight}))]
    for weight in ("", "mask(token, 0.5, 5) * veto(0.1)")
  )
  assert [one for one in corrected if one not in plain] == [
    "the correction `mask` (algorithms/mismatch.py)",
    "the correction `veto` (algorithms/mismatch.py)",
  ]


def test_a_correction_spelled_by_name_or_in_order_is_the_same():
  for weight in ("mask(token, 0.5, 5)", "mask(token, low=0.5, high=5)", " mask( token,0.5 ,5 )"):
    correction = build.correction_of(config_of(**{"correction.weight": weight}))
    assert correction is not None
    assert correction.function == Correction("recomputed", (("mask", (("level", "token"),)),))
    assert correction.numbers == ({"low": 0.5, "high": 5.0},)
