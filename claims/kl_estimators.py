"""k1, k2 and k3 as estimators of the KL to the reference, and as losses: their gradients."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from algorithms import divergences
from claims.claim import DOES_NOT_HOLD, HOLDS, Curve, Figure, Finding, Plot, Subclaim
from claims.intervals import may_be, mean_of
from training.estimates import Estimate

# Functions of log-probs [B, K, T].
ESTIMATORS = {"k1": divergences.k1, "k2": divergences.k2, "k3": divergences.k3}
RESPONSES, POLICIES = 10, 64
# Lengths of the step away from the reference; at 4, cutting log-ratios at 20 would change k3.
SCALES = np.geomspace(0.05, 3, 24)
SAMPLED_AT = 0.7  # the scale of the policy that is sampled
BATCHES, DRAWS = 200, 5000  # batches, and draws in each


@dataclasses.dataclass(frozen=True)
class Exact:
  """Expectations over the policy, by estimator, and the exact KLs: arrays [POLICIES, SCALES]."""

  kl: np.ndarray  # KL(pi || pi_ref), nats
  bias: dict[str, np.ndarray]  # E k - KL, nats
  std: dict[str, np.ndarray]  # of one draw, nats
  size: dict[str, np.ndarray]  # |E grad k| / |g|, g the gradient of KL(pi || pi_ref)
  off_reverse: dict[str, np.ndarray]  # |E grad k - g| / |g|
  off_forward: dict[str, np.ndarray]  # the same with g the gradient of KL(pi_ref || pi)
  off_policy: dict[str, np.ndarray]  # off_reverse, of draws from the policy half as far away


@dataclasses.dataclass(frozen=True)
class Sampled:
  """Means with intervals over a million draws of one policy, by estimator."""

  kl: float
  value: dict[str, Estimate]
  along_reverse: dict[str, Estimate]  # component of the gradient along g, in units of |g|
  along_forward: dict[str, Estimate]


def kl_estimators() -> Finding:
  """ "k1 is unbiased with high variance, k2 biased with low variance, k3 unbiased with low
  variance; as losses k1 pushes nowhere, k2 follows the gradient of the reverse KL and k3 that of
  the forward KL." (Schulman, 2020, Approximating KL divergence; gradients: Tang and Munos, 2025.)
  "Weighted by pi / pi_old, k3 has the reverse KL's gradient off policy too." (DeepSeek-V3.2, 2025)

  64 random references over 10 responses and, from each, policies at growing distance in a random
  direction of the logits. Expectations over the policy are sums over its 10 responses: the bias and
  standard deviation of k1, k2, k3 against the exact KL(pi || pi_ref), and their expected gradient
  on-policy (draws are data, as in a loss) against the exact gradients of KL(pi || pi_ref), the
  reverse one, and of KL(pi_ref || pi), the forward one. Off policy the draws are from pi_old, the
  policy half as far away. One policy is also sampled a million times: means with 95 % t intervals
  over 200 batches.

  "Low variance" is a standard deviation below that of k1. It holds if the subclaims about bias and
  gradients do and k2 and k3 have low variance at every distance; it holds under a KL below x if
  they have low variance for all 64 policies up to x.
  """
  with jax.enable_x64(True):
    return finding_of(exact(), sampled())


def exact(seed: int = 0) -> Exact:
  over_scales = jax.vmap(_expectations, in_axes=(None, None, 0))
  over_policies = jax.jit(jax.vmap(over_scales, in_axes=(0, 0, None)))
  found = over_policies(*_policies(seed), SCALES)
  return Exact(**jax.tree.map(np.asarray, found))


def _policies(seed: int) -> np.ndarray:
  """Returns the references' logits, and the directions in which policies move away from them."""
  return np.random.default_rng(seed).normal(size=(2, POLICIES, RESPONSES))


def _expectations(ref: jax.Array, direction: jax.Array, scale: jax.Array) -> dict:
  logits, ref_logps = ref + scale * direction, jax.nn.log_softmax(ref)
  p = jax.nn.softmax(logits)
  kl, reverse = jax.value_and_grad(_reverse_kl)(logits, ref_logps)
  forward = jax.grad(_forward_kl)(logits, ref_logps)
  found = {"kl": kl, "bias": {}, "std": {}, "size": {}, "off_reverse": {}, "off_forward": {}}
  found["off_policy"] = _off_policy(ref, direction, scale)
  for name, k in ESTIMATORS.items():
    values, pull_back = jax.vjp(lambda x, k=k: _estimates(k, x, ref_logps), logits)
    (gradient,) = pull_back(p)  # the mean of grad k(y) over y ~ p; the draws y are constants
    found["bias"][name] = p @ values - kl
    found["std"][name] = jnp.sqrt(p @ (values - p @ values) ** 2)
    found["size"][name] = _norm(gradient) / _norm(reverse)
    found["off_reverse"][name] = _norm(gradient - reverse) / _norm(reverse)
    found["off_forward"][name] = _norm(gradient - forward) / _norm(forward)
  return found


def _off_policy(ref: jax.Array, direction: jax.Array, scale: jax.Array) -> dict:
  """Returns |E grad k - g| / |g| by estimator, for draws from the policy half as far away."""
  logits, ref_logps = ref + scale * direction, jax.nn.log_softmax(ref)
  old_logps = jax.nn.log_softmax(ref + scale / 2 * direction)

  def weighted_k3(logps, ref_logps):
    return divergences.weighted_k3(logps, ref_logps, old_logps[None, None])

  reverse, found = jax.grad(_reverse_kl)(logits, ref_logps), {}
  for name, k in (ESTIMATORS | {"weighted_k3": weighted_k3}).items():
    _, pull_back = jax.vjp(lambda x, k=k: _estimates(k, x, ref_logps), logits)
    found[name] = _norm(pull_back(jnp.exp(old_logps))[0] - reverse) / _norm(reverse)
  return found


def _estimates(k: Callable, logits: jax.Array, ref_logps: jax.Array) -> jax.Array:
  """Returns k at each of the responses, [RESPONSES]."""
  return k(jax.nn.log_softmax(logits)[None, None], ref_logps[None, None])[0, 0]


def _reverse_kl(logits: jax.Array, ref_logps: jax.Array) -> jax.Array:
  logps = jax.nn.log_softmax(logits)
  return jnp.exp(logps) @ (logps - ref_logps)


def _forward_kl(logits: jax.Array, ref_logps: jax.Array) -> jax.Array:
  return jnp.exp(ref_logps) @ (ref_logps - jax.nn.log_softmax(logits))


def _norm(x: jax.Array) -> jax.Array:
  return jnp.linalg.norm(x)


def sampled(seed: int = 0) -> Sampled:
  refs, directions = _policies(seed)
  logits = jnp.asarray(refs[0] + SAMPLED_AT * directions[0])
  ref_logps = jax.nn.log_softmax(refs[0])
  kl, reverse = jax.value_and_grad(_reverse_kl)(logits, ref_logps)
  forward = jax.grad(_forward_kl)(logits, ref_logps)
  p = np.asarray(jax.nn.softmax(logits))
  shares = np.random.default_rng(seed).multinomial(DRAWS, p / p.sum(), size=BATCHES) / DRAWS
  value, along_reverse, along_forward = {}, {}, {}
  for name, k in ESTIMATORS.items():
    values, gradients = _loss_of_batches(k, logits, ref_logps, jnp.asarray(shares))
    value[name] = mean_of(values)
    along_reverse[name] = mean_of(gradients @ reverse / _norm(reverse) ** 2)
    along_forward[name] = mean_of(gradients @ forward / _norm(forward) ** 2)
  return Sampled(float(kl), value, along_reverse, along_forward)


def _loss_of_batches(
  k: Callable, logits: jax.Array, ref_logps: jax.Array, shares: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Returns each batch's mean of k, and its gradient.

  `shares` [BATCHES, RESPONSES] are the shares of a batch's draws that went to each response.
  """

  def mean(x: jax.Array, share: jax.Array) -> jax.Array:
    return share @ _estimates(k, x, ref_logps)

  return jax.jit(jax.vmap(jax.value_and_grad(mean), in_axes=(None, 0)))(logits, shares)


def finding_of(exact: Exact, sampled: Sampled) -> Finding:
  """Returns the finding: exact expectations decide, and the draws must agree with them."""
  limits = {name: _low_variance_up_to(exact, name) for name in ("k2", "k3")}
  limit = min(limits.values())
  subclaims = _subclaims(exact, sampled)
  subclaims += [
    Subclaim(
      f"{name} has a lower variance than k1 at every distance (up to {x:.2g} nats)", x == np.inf
    )
    for name, x in limits.items()
  ]
  verdict = HOLDS if limit == np.inf else f"holds under a KL below {limit:.2g} nats"
  if not all(subclaim.holds for subclaim in subclaims[:-2]) or limit == 0:
    verdict = DOES_NOT_HOLD
  far = np.median(exact.std["k3"][:, -1] / exact.std["k1"][:, -1])
  summary = (
    f"Biases and gradients are as claimed. k3's variance is below k1's for all policies up to a KL "
    f"of {limits['k3']:.2g} nats and k2's up to {limits['k2']:.2g}; at "
    f"{np.median(exact.kl[:, -1]):.1f} nats k3's standard deviation is {far:.0f} times k1's."
    if all(subclaim.holds for subclaim in subclaims[:-2])
    else "Not as claimed: "
    + "; ".join(subclaim.statement for subclaim in subclaims[:-2] if not subclaim.holds)
  )
  figures = [
    *(Figure(f"KL up to which {n} has the lower variance, nats", x) for n, x in limits.items()),
    Figure("KL of the sampled policy, nats", sampled.kl),
    *_figures("mean of a million draws, nats", sampled.value),
    *_figures("gradient along the reverse KL's (1: it)", sampled.along_reverse),
    *_figures("gradient along the forward KL's (1: it)", sampled.along_forward),
  ]
  return Finding(verdict, summary, figures, _plots(exact), subclaims)


def _subclaims(exact: Exact, sampled: Sampled) -> list[Subclaim]:
  """Returns the subclaims about bias and gradients."""
  bias = {name: float(np.abs(b / exact.kl).max()) for name, b in exact.bias.items()}
  nowhere = float(exact.size["k1"].max())
  reverse, forward = float(exact.off_reverse["k2"].max()), float(exact.off_forward["k3"].max())
  apart = float(np.median(exact.off_reverse["k3"][:, -1]))
  weighted = float(exact.off_policy["weighted_k3"].max())
  unweighted = float(np.median(exact.off_policy["k2"][:, -1]))
  agree = all(may_be(found, sampled.kl) for name, found in sampled.value.items() if name != "k2")
  agree &= may_be(sampled.along_reverse["k2"], 1.0)
  agree &= may_be(sampled.along_forward["k3"], 1.0)
  agree &= may_be(sampled.along_reverse["k1"], 0.0)
  return [
    Subclaim(f"k1 is unbiased (at most {bias['k1']:.0e} of the KL)", bias["k1"] < 1e-6),
    Subclaim(f"k2 is biased (by up to {bias['k2']:.0%} of the KL)", bias["k2"] > 0.01),
    Subclaim(f"k3 is unbiased (at most {bias['k3']:.0e} of the KL)", bias["k3"] < 1e-6),
    Subclaim(f"k1's expected gradient is zero ({nowhere:.0e} of the reverse KL's)", nowhere < 1e-6),
    Subclaim(f"k2's is the reverse KL's (off by {reverse:.0e})", reverse < 1e-6),
    Subclaim(
      f"k3's is the forward KL's (off by {forward:.0e}; off the reverse's by {apart:.0%} far away)",
      forward < 1e-6 and apart > 0.01,
    ),
    Subclaim(
      f"off policy weighted_k3's is the reverse KL's (off by {weighted:.0e}; k2's by "
      f"{unweighted:.0%} far away)",
      weighted < 1e-6 and unweighted > 0.01,
    ),
    Subclaim("a million draws agree, within twice their intervals", agree),
  ]


def _low_variance_up_to(exact: Exact, name: str) -> float:
  """Returns the KL up to which this estimator's std is at most k1's for all policies, or inf."""
  above = exact.std[name] > exact.std["k1"]
  return float(exact.kl[above].min()) if above.any() else np.inf


def _figures(title: str, found: dict[str, Estimate]) -> list[Figure]:
  return [Figure(f"{name}: {title}", x.mean, x.low, x.high) for name, x in found.items()]


def _plots(exact: Exact) -> list[Plot]:
  x = "KL(π‖π_ref), nats (median of 64 policies)"
  std = {name: std / exact.kl for name, std in exact.std.items()}
  bias = {name: np.abs(bias) / exact.kl for name, bias in exact.bias.items() if name == "k2"}
  pushes = {f"{name} from the reverse KL": off for name, off in exact.off_reverse.items()}
  pushes |= {"k3 from the forward KL": exact.off_forward["k3"]}
  pushes |= {"k2 from the reverse KL, off policy": exact.off_policy["k2"]}
  pushes = {name: off for name, off in pushes.items() if off.max() > 1e-6}
  return [
    _plot(exact, "Standard deviation of one draw", x, "std / KL", std, log_y=True),
    _plot(exact, "Bias of k2 (k1 and k3 have none)", x, "|bias| / KL", bias),
    _plot(exact, "Distance of the expected gradient", x, "relative error", pushes),
  ]


def _plot(
  exact: Exact, title: str, x_label: str, y_label: str, found: dict[str, np.ndarray], **look: bool
) -> Plot:
  """Draws medians over the policies, with the middle half of them as the band."""
  at = np.median(exact.kl, axis=0)
  curves = [
    Curve(name, at, np.median(y, axis=0), *np.quantile(y, (0.25, 0.75), axis=0))
    for name, y in found.items()
  ]
  return Plot(title, x_label, y_label, curves, log_x=True, **look)
