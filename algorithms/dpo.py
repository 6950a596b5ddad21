"""Direct Preference Optimization, and the losses that put another curve on the same margin.

With h_i = sum_t m_it (log pi_theta(y_it) - log pi_ref(y_it)) and z = beta (h_w - h_l), all of these
are a mean over pairs of some f(z). `divergence` replaces h by another scale (f-DPO): see
`preferences.divergence_scores`.
"""

import jax
import jax.numpy as jnp

from algorithms.divergences import LARGEST_LOG_RATIO
from algorithms.loss_function import loss_function
from algorithms.preferences import (
  Divergence,
  PairRule,
  PairWeights,
  divergence_scores,
  log_ratios,
  pair_differences,
  pair_mean,
  pair_weights,
  preference_metrics,
)
from algorithms.reductions import lengths
from algorithms.shapes import (
  Beta,
  Mask,
  NonZeroSmoothing,
  PerResponse,
  PerToken,
  Positive,
  Scalar,
  Smoothing,
)


@loss_function
def dpo(
  logps: PerToken,
  ref_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  beta: Beta = 0.1,
  label_smoothing: Smoothing = 0.0,
  pairs: PairRule = "best_worst",
  divergence: Divergence = "reverse_kl",
  alpha: Scalar = 0.5,
):
  """Direct Preference Optimization (Rafailov et al., 2023, eq. 7; smoothing: Mitchell, 2023, cDPO).

    h_i  = sum_t m_it (log pi_theta(y_it) - log pi_ref(y_it))        log-ratio to the reference
    z    = beta (h_w - h_l)                                          margin of a pair
    loss = mean over pairs of  -(1 - s) log sigmoid(z) - s log sigmoid(-z)

  Args:
    rewards: their order makes the pairs (see `preferences.pair_weights`), their size does nothing.
    beta: strength of the KL to the reference: larger stays closer. (Some texts write 1/beta.)
    label_smoothing: s, the share of pairs assumed to be labelled the wrong way round, in [0, 0.5).
    pairs: "best_worst" or "all": which pairs of a group of K > 2 are compared.
    divergence: "reverse_kl", "forward_kl", "js" or "alpha": the penalty that the margin comes from.
    alpha: of divergence="alpha"; 1 is reverse_kl.
  """
  h, scores, weights = _compare(logps, ref_logps, rewards, mask, pairs, divergence, alpha)
  z = beta * pair_differences(scores)
  s = label_smoothing
  loss = pair_mean(-(1 - s) * jax.nn.log_sigmoid(z) - s * jax.nn.log_sigmoid(-z), weights)
  return loss, preference_metrics(logps, h, weights, mask, beta)


@loss_function
def robust_dpo(
  logps: PerToken,
  ref_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  beta: Beta = 0.1,
  label_smoothing: Smoothing = 0.1,
  pairs: PairRule = "best_worst",
  divergence: Divergence = "reverse_kl",
  alpha: Scalar = 0.5,
):
  """Robust DPO (Chowdhury et al., 2024, section 3.1): unbiased under labels flipped at random.

    loss = mean over pairs of  [-(1 - s) log sigmoid(z) + s log sigmoid(-z)] / (1 - 2 s)

  Its mean over labels that are flipped with probability s is DPO's loss on the true labels. Unlike
  cDPO (`dpo` with label_smoothing), which has its minimum at a finite margin, it is unbounded below
  and always pushes the margin up.

  Args:
    beta: strength of the KL to the reference: larger stays closer.
    label_smoothing: s, the share of pairs that are labelled the wrong way round; 0 is `dpo`.
    pairs: "best_worst" or "all": which pairs of a group of K > 2 are compared.
    divergence, alpha: the penalty that the margin comes from, as in `dpo`.
  """
  h, scores, weights = _compare(logps, ref_logps, rewards, mask, pairs, divergence, alpha)
  z = beta * pair_differences(scores)
  s = label_smoothing
  flipped_back = -(1 - s) * jax.nn.log_sigmoid(z) + s * jax.nn.log_sigmoid(-z)
  loss = pair_mean(flipped_back / (1 - 2 * s), weights)
  return loss, preference_metrics(logps, h, weights, mask, beta)


@loss_function
def ipo(
  logps: PerToken,
  ref_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  beta: Beta = 0.1,
  length_average: bool = True,
  pairs: PairRule = "best_worst",
  divergence: Divergence = "reverse_kl",
  alpha: Scalar = 0.5,
):
  """Identity Preference Optimization (Azar et al., 2023, eq. 17, where beta is tau).

    loss = mean over pairs of  (h_w / n_w - h_l / n_l - 1 / (2 beta))^2

  The paper's equation has no n_i (length_average=False). TRL divides by the lengths, and reports
  that the authors confirmed it and used it for their results: it is the default.

  Args:
    beta: strength of the KL to the reference: the margin is pulled to 1 / (2 beta), not beyond.
    length_average: divide h by the number of tokens n; False is the equation as printed.
    pairs: "best_worst" or "all": which pairs of a group of K > 2 are compared.
    divergence, alpha: the penalty that the margin comes from, as in `dpo`.
  """
  h, scores, weights = _compare(logps, ref_logps, rewards, mask, pairs, divergence, alpha)
  n = jnp.where(length_average, lengths(mask), 1.0)
  loss = pair_mean((pair_differences(scores / n) - 1 / (2 * beta)) ** 2, weights)
  return loss, preference_metrics(logps, h, weights, mask, beta)


@loss_function
def hinge(
  logps: PerToken,
  ref_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  beta: Beta = 0.1,
  pairs: PairRule = "best_worst",
  divergence: Divergence = "reverse_kl",
  alpha: Scalar = 0.5,
):
  """The hinge on DPO's margin: no push once z >= 1 (RSO: Liu et al., 2023, "hinge-norm").

    loss = mean over pairs of  max(0, 1 - z)

  SLiC-HF (Zhao et al., 2023, section 2) has log-probs where this has log-ratios to the reference,
  and a term of imitation beside it.

  Args:
    beta: strength of the KL to the reference; h_w - h_l is pushed up to 1 / beta.
    pairs: "best_worst" or "all": which pairs of a group of K > 2 are compared.
    divergence, alpha: the penalty that the margin comes from, as in `dpo`.
  """
  h, scores, weights = _compare(logps, ref_logps, rewards, mask, pairs, divergence, alpha)
  z = beta * pair_differences(scores)
  return pair_mean(jax.nn.relu(1 - z), weights), preference_metrics(logps, h, weights, mask, beta)


@loss_function
def sigmoid_norm(
  logps: PerToken,
  ref_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  beta: Beta = 0.1,
  pairs: PairRule = "best_worst",
  divergence: Divergence = "reverse_kl",
  alpha: Scalar = 0.5,
):
  """Length-normalised DPO (Tulu 3: Lambert et al., 2024, section 5.1).

    loss = mean over pairs of  -log sigmoid(beta (h_w / n_w - h_l / n_l))

  Args:
    beta: strength of the KL to the reference a token: n times DPO's beta is comparable (Tulu: 5).
    pairs: "best_worst" or "all": which pairs of a group of K > 2 are compared.
    divergence, alpha: the penalty that the margin comes from, as in `dpo`.
  """
  h, scores, weights = _compare(logps, ref_logps, rewards, mask, pairs, divergence, alpha)
  z = beta * pair_differences(scores / lengths(mask))
  loss = pair_mean(-jax.nn.log_sigmoid(z), weights)
  return loss, preference_metrics(logps, h, weights, mask, beta)


@loss_function
def exo_pair(
  logps: PerToken,
  ref_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  beta: Beta = 0.1,
  label_smoothing: NonZeroSmoothing = 0.1,
  pairs: PairRule = "best_worst",
  divergence: Divergence = "reverse_kl",
  alpha: Scalar = 0.5,
):
  """Efficient exact optimization on pairs (EXO: Ji et al., 2024, eq. 16).

    p    = (sigmoid(z), sigmoid(-z))     the policy's preference between the two
    q    = (1 - s, s)                    the labels' preference
    loss = mean over pairs of  KL(p || q)

  DPO is the other direction, KL(q || p) but for a constant: it covers the labels' mass, this seeks
  their mode. Its minimum is 0, at sigmoid(z) = 1 - s.

  Args:
    beta: strength of the KL to the reference: larger stays closer.
    label_smoothing: s, the mass the labels leave to the worse response; the paper suggests 1e-3.
    pairs: "best_worst" or "all": which pairs of a group of K > 2 are compared.
    divergence, alpha: the penalty that the margin comes from, as in `dpo`.
  """
  h, scores, weights = _compare(logps, ref_logps, rewards, mask, pairs, divergence, alpha)
  z = beta * pair_differences(scores)
  log_p, log_not_p = jax.nn.log_sigmoid(z), jax.nn.log_sigmoid(-z)
  log_q, log_not_q = jnp.log1p(-label_smoothing), jnp.log(label_smoothing)
  kl = jnp.exp(log_p) * (log_p - log_q) + jnp.exp(log_not_p) * (log_not_p - log_not_q)
  return pair_mean(kl, weights), preference_metrics(logps, h, weights, mask, beta)


@loss_function
def discopop(
  logps: PerToken,
  ref_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  *,
  beta: Beta = 0.1,
  tau: Positive = 0.05,
  pairs: PairRule = "best_worst",
  divergence: Divergence = "reverse_kl",
  alpha: Scalar = 0.5,
):
  """DiscoPOP, a loss that a language model found (Lu et al., 2024, eq. 5).

    loss = mean over pairs of  (1 - sigmoid(z / tau)) (-log sigmoid(z)) + sigmoid(z / tau) e^-z

  Logistic where the margin is negative, exponential where it is positive. Not convex: the logistic
  ends at log 2 where the exponential begins at 1, so around z = 0 the slope changes its sign.

  Args:
    beta: strength of the KL to the reference: larger stays closer.
    tau: width of the passage between the two, in units of z.
    pairs: "best_worst" or "all": which pairs of a group of K > 2 are compared.
    divergence, alpha: the penalty that the margin comes from, as in `dpo`.
  """
  h, scores, weights = _compare(logps, ref_logps, rewards, mask, pairs, divergence, alpha)
  z = beta * pair_differences(scores)
  logistic = jax.nn.sigmoid(-z / tau) * -jax.nn.log_sigmoid(z)
  # One exponent: as a product it would be 0 * inf where z is very negative.
  exponential = jnp.exp(jnp.minimum(jax.nn.log_sigmoid(z / tau) - z, LARGEST_LOG_RATIO))
  loss = pair_mean(logistic + exponential, weights)
  return loss, preference_metrics(logps, h, weights, mask, beta)


def _compare(
  logps: PerToken,
  ref_logps: PerToken,
  rewards: PerResponse,
  mask: Mask,
  pairs: PairRule,
  divergence: Divergence,
  alpha: Scalar,
) -> tuple[PerResponse, PerResponse, PairWeights]:
  """(h, the scores whose differences are the margins over beta, the weights of the pairs)."""
  h = log_ratios(logps, ref_logps, mask)
  return h, divergence_scores(h, divergence, alpha), pair_weights(rewards, mask, pairs)
