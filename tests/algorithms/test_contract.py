"""The contract that every loss keeps. A new loss is tested by being listed in algorithms.LOSSES."""

import functools
import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algorithms import LOSSES
from algorithms.shapes import COMPUTED, VOCABULARY, check_shapes
from tests.algorithms.groups import (
  PER_TOKEN,
  arrays_of,
  call,
  cases,
  evaluate_all,
  hyperparameters,
  policy_word,
  random_groups,
  trained_words,
)
from tests.algorithms.scenarios import (
  SCENARIOS,
  UNSCORED,
  compiled,
  every_row,
  has_responses,
  in_shuffled_order,
  padding_holds,
  ranges,
  settings,
)

CASES = list(cases())
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
every_case = pytest.mark.parametrize(
  ("loss", "options"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)

# --- who is let off, and why --------------------------------------------------------------------

NOT_SHIFTED = {
  "kto": "its threshold is in units of the reward",
  "ppo": "its critic's values are in units of the reward",
  "maxrl": "it divides by the mean reward",
}
NOT_SCALED = (
  NOT_SHIFTED
  | {
    "bradley_terry": "its margin is in units of the reward",
    "dr_grpo": "it does not divide by the spread of the rewards",
    "reinforce_plus_plus": "its KL is in the reward, and in nats",
    "rloo": "it does not divide by the spread of the rewards",
    "reinforce": "it does not divide by the spread of the rewards",
    "offline_grpo": "its centered weights are not divided by the spread of the rewards",
  }
  | dict.fromkeys(
    """
    dppo_tv dppo_kl topr asymre opmd rec_one_side rec_ring rebel gvpo a_star_po gpg opo remax
    pass_at_k
    """.split(),
    "it does not divide by the spread of the rewards",
  )
)
PUSHES_TIES = {
  "sft": "imitates the best of a group, all of a tie",
  "kto": "judges each response by itself",
  "reinforce": "its baseline is not the group's",
  "asymre": "its baseline is lower than the group's mean",
  "reinforce_plus_plus": "its baseline is the batch's mean",
  "ppo": "its baseline is the critic's value, not the group's",
  "remax": "its baseline is the greedy response's reward",
  "a_star_po": "its baseline is of the reference's rewards",
  "xpo": "its second term makes the reference's responses less likely",
}
# The value of these is not what they differentiate: what is cut off also depends on the policy.
DETACH = {
  "wpo": "the weight of a pair",
  "kto": "the KL estimate z0",
  "cispo": "the ratio",
  "vespo": "the weight of a response",
  "topr": "the weight of a bad response",
  "fipo": "the influence of a token",
  "reinforce": "the KL in the reward",
  "remax": "the KL in the reward",
  "offline_grpo": "the weights, with weights='dpo'",
}
NO_PAIRS = ("sft", "kto", "aot", "aot_unpaired", "plackett_luce_dpo")
ORDER_ONLY = [
  loss
  for name, loss in LOSSES.items()
  if name in NO_PAIRS or "pairs" in inspect.signature(loss).parameters
]


def policy_gradient(loss, options, scenario="plain", setting="terms"):
  return compiled(loss, options, scenario, setting).gradients[policy_word(loss)]


def assert_same(a, b, case="", rtol=1e-5):
  """Relative to the largest entry, for gradients; to the number itself, for a value."""
  np.testing.assert_allclose(a, b, rtol=0, atol=rtol * max(np.abs(b).max(), 1e-2), err_msg=case)


def is_finite(tree) -> bool:
  return all(np.isfinite(x).all() for x in jax.tree.leaves(tree))


def padded_in_float64():
  """The plain groups with 3 tokens of padding more, and NaN wherever there is padding."""
  arrays = jax.tree.map(np.asarray, random_groups(dtype=jnp.float64))
  longer = {word: np.pad(arrays[word], ((0, 0), (0, 0), (0, 3))) for word in PER_TOKEN}
  return jax.tree.map(jnp.asarray, padding_holds(arrays | longer, np.nan))


@functools.cache
def _eagerly_in_float64(loss, options):
  with jax.enable_x64(True):
    return evaluate_all(loss, padded_in_float64(), dict(options) | settings(loss)["terms"])


def eagerly_in_float64(loss, options):
  """(loss, metrics, gradients by array), operation by operation, of the padded groups."""
  return _eagerly_in_float64(loss, tuple(options.items()))


# --- signatures ---------------------------------------------------------------------------------


@every_loss
def test_positional_arguments_are_of_the_vocabulary_and_hyperparameters_have_defaults(loss):
  for p in inspect.signature(loss).parameters.values():
    if p.kind is p.KEYWORD_ONLY:
      assert p.default is not p.empty
    else:
      assert p.name in VOCABULARY
      assert p.default in (p.empty, None)


@every_loss
def test_an_array_of_the_wrong_shape_or_dtype_is_an_error_that_names_it(loss):
  arrays = arrays_of(loss, random_groups())
  for name, x in arrays.items():
    with pytest.raises(ValueError, match=rf"\b{name} has shape"):
      loss(**arrays | {name: x[0]})
    for short in [x[:-1], x[:, :-1]] if has_responses(name) else [x[:-1]]:
      with pytest.raises(ValueError, match=rf"\b{name} (has shape )?\("):  # "x has ...; with y ..."
        loss(**arrays | {name: short})
    with pytest.raises(ValueError, match=rf"^{name} is bfloat16"):
      loss(**arrays | {name: x.astype(jnp.bfloat16)})


@every_loss
def test_a_number_out_of_its_range_is_an_error_that_says_the_range(loss):
  arrays = arrays_of(loss, random_groups())
  for name, limit in ranges(loss).items():
    below = limit.low - 1e-3 if limit.closed in ("low", "both") else limit.low
    above = limit.high + 1e-3 if limit.closed in ("high", "both") else limit.high
    for value in (below, above, math.nan):
      with pytest.raises(ValueError, match=f"^{name}=.*must be {limit}: "):
        loss(**arrays, **{name: value})


@every_loss
def test_an_unknown_choice_is_an_error_that_lists_the_choices(loss):
  arrays = arrays_of(loss, random_groups())
  for p in hyperparameters(loss):
    if isinstance(p.default, str):
      with pytest.raises(ValueError, match=rf"^{p.name}='no such' *: choose one of .*{p.default}"):
        loss(**arrays, **{p.name: "no such"})


@pytest.mark.parametrize("word", VOCABULARY)
def test_a_word_of_the_vocabulary_has_these_axes_and_no_others(word):
  axes, source = VOCABULARY[word]
  assert source in ("network", "annotated", "sampler", "batch", "online")
  sizes = {"B": 4, "K": 3, "T": 6, "R": 2, "N": 5}
  array = random_groups(k=3)[word]
  assert array.shape == tuple(sizes[axis] for axis in axes.split())
  check_shapes(**{word: array})
  with pytest.raises(ValueError, match=rf"it must be \[{axes.replace(' ', ', ')}\]"):
    check_shapes(**{word: array[..., None]})


def test_an_array_that_is_no_word_of_the_vocabulary_is_an_error_that_lists_them():
  with pytest.raises(ValueError, match="no array log_probs; there are logps, entropy, "):
    check_shapes(log_probs=random_groups()["logps"])


def test_shapes_are_checked_without_the_type_checker_too():
  arrays = random_groups()
  with pytest.raises(ValueError, match=r"ref_logps has shape \(4, 4, 5\).*must be \(4, 4, 6\)"):
    check_shapes(logps=arrays["logps"], ref_logps=arrays["logps"][..., :-1])
  with pytest.raises(ValueError, match="mask is int32"):
    check_shapes(logps=arrays["logps"], mask=arrays["mask"].astype(jnp.int32))


# --- finite, wherever ---------------------------------------------------------------------------


@every_case
def test_finite_in_every_scenario_and_at_the_ends_of_ranges(loss, options):
  assert [row for row, result in every_row(loss, options).items() if not is_finite(result)] == []


@every_case
@pytest.mark.parametrize(("k", "t"), [(1, 1), (16, 6)])
def test_finite_for_any_group_size(loss, options, k, t):
  assert is_finite(evaluate_all(loss, random_groups(k=k, t=t), options | settings(loss)["terms"]))


@every_case
def test_arrays_that_may_be_left_out_may_be_left_out(loss, options):
  optional = [p.name for p in inspect.signature(loss).parameters.values() if p.default is None]
  with jax.enable_x64(True):
    arrays = arrays_of(loss, padded_in_float64())
  for name in optional:
    without = {word: x for word, x in arrays.items() if word != name}
    try:
      with jax.enable_x64(True):
        assert is_finite(loss(**without, **options))
    except ValueError as error:
      assert f"needs {name}" in str(error)


# --- who gets a gradient ------------------------------------------------------------------------


@every_case
@pytest.mark.parametrize("setting", ["defaults", "terms"])
def test_only_what_the_network_computes_gets_a_gradient(loss, options, setting):
  gradients = compiled(loss, options, setting=setting).gradients
  for name, slope in gradients.items():
    assert name in COMPUTED or (slope == 0).all(), name
  assert (gradients[policy_word(loss)] != 0).any()


@every_case
@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if "padding" in name])
def test_what_padding_holds_matters_to_nothing(loss, options, scenario):
  plain, padded = compiled(loss, options), compiled(loss, options, scenario)
  mask = random_groups()["mask"]
  for name in trained_words(loss):
    assert name == "scores" or (padded.gradients[name][~mask] == 0).all(), name
  jax.tree.map(np.testing.assert_array_equal, padded, plain)


@every_case
def test_a_response_without_a_score_gets_no_push(loss, options):
  scenario = "an unscored response at the reference"  # no pull of a KL term either
  assert (policy_gradient(loss, options, scenario, "defaults")[UNSCORED] == 0).all()


@every_case
@pytest.mark.parametrize("scenario", ["a group that was filled up", "one response, filled up"])
def test_what_a_group_was_filled_up_with_gets_no_push(loss, options, scenario):
  found = compiled(loss, options, scenario)
  assert is_finite(found)
  for name in trained_words(loss):
    assert name == "scores" or (found.gradients[name][0, 3] == 0).all(), name


@pytest.mark.parametrize("loss", ORDER_ONLY)
def test_to_its_group_a_response_without_a_score_is_not_there(loss):
  unscored = compiled(loss, {}, "an unscored response")
  jax.tree.map(assert_same, unscored, compiled(loss, {}, "an absent response"))


# --- what changes nothing -----------------------------------------------------------------------


@every_case
def test_the_order_of_groups_and_of_responses_changes_nothing(loss, options):
  plain, shuffled = compiled(loss, options), compiled(loss, options, "shuffled")
  jax.tree.map(assert_same, shuffled[:2], plain[:2])
  for name, slope in plain.gradients.items():
    assert_same(shuffled.gradients[name], in_shuffled_order(name, slope), name)


@every_case
def test_a_shift_of_the_rewards_changes_nothing(loss, options):
  if loss.__name__ in NOT_SHIFTED or options == {"baseline": "none"}:
    pytest.skip(NOT_SHIFTED.get(loss.__name__, "no baseline takes the shift off"))
  shifted = policy_gradient(loss, options, "rewards shifted")
  assert_same(shifted, policy_gradient(loss, options))


@every_case
def test_the_scale_of_the_rewards_changes_nothing(loss, options):
  if loss.__name__ in NOT_SCALED:
    pytest.skip(NOT_SCALED[loss.__name__])
  scaled = policy_gradient(loss, options, "rewards scaled")
  tolerance = 1e-5 if loss in ORDER_ONLY else 1e-3  # the 1e-4 beside the spread is not scaled
  assert_same(scaled, policy_gradient(loss, options), rtol=tolerance)


@pytest.mark.parametrize("loss", ORDER_ONLY)
def test_only_the_order_of_the_rewards_matters_to_preferences(loss):
  result = compiled(loss, {}, "rewards in the same order", "defaults")
  jax.tree.map(np.testing.assert_array_equal, result, compiled(loss, {}, setting="defaults"))


@every_case
def test_groups_that_differ_by_prompt_only_push_nothing(loss, options):
  """Statistics over the wrong axis would see a difference between these rewards."""
  if loss.__name__ in PUSHES_TIES:
    pytest.skip(PUSHES_TIES[loss.__name__])
  # At the reference the KL does not pull either, and k1's useless gradient is off by default.
  assert (policy_gradient(loss, options, "ties at the reference", "defaults") == 0).all()
  if loss in ORDER_ONLY:
    assert compiled(loss, options, "ties").value == 0


# --- derivatives --------------------------------------------------------------------------------


@every_case
def test_compiled_in_float32_it_gives_what_it_gives_eagerly_in_float64_and_padded(loss, options):
  """Nor does it matter what padding holds: XLA compiles mask.astype(float) * x to a `where`."""
  value, metrics, gradients = compiled(loss, options)
  expected_value, expected_metrics, expected_gradients = eagerly_in_float64(loss, options)
  jax.tree.map(assert_same, (value, metrics), (expected_value, expected_metrics))
  for name, slope in expected_gradients.items():
    unpadded = slope[..., :6] if name in PER_TOKEN else slope
    assert_same(gradients[name], unpadded, name)


@every_loss
def test_one_program_serves_all_values_of_the_hyperparameters(loss):
  """They are an axis of the compiled program: vmap over them is a loop."""
  with jax.enable_x64(True):
    arrays = padded_in_float64()
    looped = [call(loss, arrays, **settings(loss)[s])[0] for s in ("defaults", "less")]
  assert_same([compiled(loss, {}, setting=s).value for s in ("defaults", "less")], looped)


@every_case
def test_gradient_is_that_of_finite_differences(loss, options, monkeypatch):
  """In float64, along a random direction. What the loss cuts off, if it says so, is held still."""
  slopes = eagerly_in_float64(loss, options)[2]
  with jax.enable_x64(True):
    arrays = padded_in_float64()
    rng = np.random.default_rng(0)
    directions = {word: rng.normal(size=arrays[word].shape) for word in trained_words(loss)}
    if loss.__name__ in DETACH:
      recorded = []
      monkeypatch.setattr(jax.lax, "stop_gradient", lambda x: recorded.append(x) or x)
      call(loss, arrays, **options | settings(loss)["terms"])

    def at(step):
      replay = iter(recorded if loss.__name__ in DETACH else ())
      if loss.__name__ in DETACH:
        monkeypatch.setattr(jax.lax, "stop_gradient", lambda x: next(replay))
      moved = {word: arrays[word] + step * d for word, d in directions.items()}
      return call(loss, arrays | moved, **options | settings(loss)["terms"])[0]

    numeric = (at(1e-6) - at(-1e-6)) / 2e-6
    exact = sum((slopes[word] * d).sum() for word, d in directions.items())
    np.testing.assert_allclose(exact, numeric, rtol=1e-6, atol=1e-9)
