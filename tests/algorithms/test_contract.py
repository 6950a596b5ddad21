"""What every loss keeps to. A new loss is tested by being listed in algorithms.LOSSES."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algorithms import LOSSES
from algorithms.shapes import PER_RESPONSE, PER_TOKEN, check_shapes
from tests.algorithms.groups import call, cases, evaluate, random_groups

CASES = list(cases())
every_loss = pytest.mark.parametrize(
  ("loss", "options"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)


def gradient(loss, arrays, options, name="logps"):
  return evaluate(loss, arrays, options, name)[2]


def assert_finite(loss, arrays, options):
  value, metrics, slope = evaluate(loss, arrays, options)
  assert jnp.isfinite(value), value
  assert jnp.isfinite(slope).all()
  assert all(jnp.isfinite(metric) for metric in metrics.values()), metrics


def test_every_loss_of_the_table_is_tested():
  assert {loss for _, loss, _ in CASES} == set(LOSSES.values())


@every_loss
def test_positional_arguments_are_of_the_vocabulary_and_hyperparameters_have_defaults(
  loss, options
):
  del options
  for p in inspect.signature(loss).parameters.values():
    if p.kind is p.KEYWORD_ONLY:
      assert p.default is not p.empty
    else:
      assert p.name in PER_TOKEN + PER_RESPONSE


@every_loss
@pytest.mark.parametrize("k", [2, 3, 16])
def test_finite_for_any_group_size(loss, options, k):
  assert_finite(loss, random_groups(k=k), options)


@every_loss
@pytest.mark.parametrize(
  "extreme", ["empty row", "empty group", "ties", "one token", "rewards", "logps"]
)
def test_finite_at_the_extremes(loss, options, extreme):
  arrays = random_groups(t=1 if extreme == "one token" else 6)
  if extreme == "empty row":
    arrays["mask"] = arrays["mask"].at[1, 2].set(False)
  if extreme == "empty group":
    arrays["mask"] = jnp.zeros_like(arrays["mask"])
  if extreme == "ties":
    arrays["rewards"] = jnp.ones_like(arrays["rewards"])
  if extreme == "rewards":
    arrays["rewards"] = 1e6 * (2 * arrays["rewards"] - 1)
  if extreme == "logps":
    arrays["logps"] = arrays["logps"].at[0].set(-1e4)
    arrays["ref_logps"] = arrays["ref_logps"].at[1].set(-1e4)
    arrays["old_logps"] = arrays["old_logps"].at[2].set(-1e4)
  assert_finite(loss, arrays, options)


@every_loss
def test_no_gradient_at_masked_positions_even_if_they_hold_garbage(loss, options):
  arrays = random_groups()
  mask = arrays["mask"]
  garbage = arrays | {"logps": jnp.where(mask, arrays["logps"], -jnp.inf)}
  g = gradient(loss, garbage, options)
  assert (g[~mask] == 0).all()
  np.testing.assert_array_equal(g, gradient(loss, arrays, options))


@every_loss
def test_padding_on_the_right_changes_nothing(loss, options):
  arrays = random_groups()
  padded = {
    name: x if x.ndim == 2 else jnp.pad(x, ((0, 0), (0, 0), (0, 3))) for name, x in arrays.items()
  }
  value, padded_value = evaluate(loss, arrays, options)[0], evaluate(loss, padded, options)[0]
  np.testing.assert_allclose(padded_value, value, rtol=1e-6, atol=1e-7)


@every_loss
def test_the_order_of_groups_and_of_responses_changes_nothing(loss, options):
  arrays = random_groups()
  shuffled = {name: x[jnp.array([2, 0, 3, 1])] for name, x in arrays.items()}
  shuffled = {name: x[:, jnp.array([3, 1, 0, 2])] for name, x in shuffled.items()}
  value, metrics, _ = evaluate(loss, arrays, options)
  shuffled_value, shuffled_metrics, _ = evaluate(loss, shuffled, options)
  np.testing.assert_allclose(shuffled_value, value, rtol=2e-6, atol=1e-7)
  for name in metrics:
    np.testing.assert_allclose(shuffled_metrics[name], metrics[name], rtol=1e-5, atol=1e-6)


@every_loss
def test_only_the_policy_gets_a_gradient(loss, options):
  arrays = random_groups()
  names = inspect.signature(loss).parameters.keys() & {"old_logps", "ref_logps", "rewards"}
  for name in names:
    assert (gradient(loss, arrays, options, name) == 0).all(), name
  assert (gradient(loss, arrays, options) != 0).any()


@every_loss
def test_a_shift_of_the_rewards_changes_nothing(loss, options):
  arrays = random_groups()
  shifted = arrays | {"rewards": arrays["rewards"] + 8.0}
  np.testing.assert_allclose(
    gradient(loss, shifted, options), gradient(loss, arrays, options), rtol=1e-5, atol=1e-7
  )


@every_loss
def test_groups_that_differ_by_prompt_only_push_nothing(loss, options):
  """Statistics over the wrong axis would see a difference between these rewards."""
  if loss is LOSSES["sft"]:
    pytest.skip("imitation has no baseline")
  arrays = random_groups()
  rewards = jnp.broadcast_to(jnp.arange(4.0)[:, None], (4, 4))
  arrays |= {"rewards": rewards, "ref_logps": arrays["logps"]}  # no pull of a KL term either
  assert (gradient(loss, arrays, options) == 0).all()


@every_loss
def test_jit_gives_what_eager_gives(loss, options):
  arrays = random_groups()
  eager = call(loss, arrays, **options)[0]
  np.testing.assert_allclose(evaluate(loss, arrays, options)[0], eager, rtol=1e-6, atol=1e-7)


@every_loss
def test_vmap_over_a_hyperparameter_is_a_loop(loss, options):
  defaults = {
    p.name: p.default
    for p in inspect.signature(loss).parameters.values()
    if p.kind is p.KEYWORD_ONLY and isinstance(p.default, float)
  }
  arrays = random_groups()
  for name in defaults:
    values = jnp.array([0.1, 0.2, 0.3])
    one = jax.jit(
      functools.partial(lambda name, v: call(loss, arrays, **options | {name: v})[0], name)
    )
    looped = jnp.stack([one(v) for v in values])
    np.testing.assert_allclose(jax.vmap(one)(values), looped, rtol=1e-6, atol=1e-7)


@every_loss
def test_gradient_is_that_of_finite_differences(loss, options):
  """In float64, along a random direction."""
  with jax.enable_x64(True):
    arrays = random_groups(dtype=jnp.float64, distance=0.05)
    direction = jax.random.normal(jax.random.key(0), arrays["logps"].shape, jnp.float64)
    if options.get("weights") or loss is LOSSES["offline_grpo"]:
      pytest.skip(
        "its weights are constants to the gradient, not to the loss: see the identity test"
      )

    @jax.jit
    def along(s):
      return call(loss, arrays | {"logps": arrays["logps"] + s * direction}, **options)[0]

    h = 1e-6
    numeric = (along(h) - along(-h)) / (2 * h)
    np.testing.assert_allclose(jax.grad(along)(0.0), numeric, rtol=1e-6, atol=1e-9)


@every_loss
def test_a_wrong_shape_is_an_error_that_names_the_argument(loss, options):
  arrays = random_groups()
  wrong = arrays | {"rewards": arrays["rewards"][:, :-1]}
  with pytest.raises(Exception, match="rewards"):  # the type checker's here, check_shapes' at large
    call(loss, wrong, **options)


def test_shapes_are_checked_without_the_type_checker_too():
  arrays = random_groups()
  with pytest.raises(ValueError, match=r"ref_logps has shape \(4, 4, 5\).*must be \(4, 4, 6\)"):
    check_shapes(logps=arrays["logps"], ref_logps=arrays["logps"][..., :-1])
  with pytest.raises(ValueError, match="mask is int32"):
    check_shapes(logps=arrays["logps"], mask=arrays["mask"].astype(jnp.int32))
