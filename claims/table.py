"""All claims, in the order of the report. To add one: a function in a file here, and a line."""

from claims.claim import Claim

CLAIMS = (
  Claim("dpo_expansion", "claims.dpo_expansion"),
  Claim("parallel_gradients", "claims.gradients"),
  Claim("offline_grpo_is_dpo", "claims.gradients"),
  Claim("zero_sum_weights", "claims.gradients"),
  Claim("baselines", "claims.baselines"),
  Claim("std_and_length", "claims.std_and_length"),
  Claim("group_size", "claims.group_size"),
  Claim("maximum_likelihood", "claims.maximum_likelihood"),
  Claim("optimum", "claims.optimum"),
  Claim("four_responses", "claims.four_responses"),
  Claim("displacement", "claims.displacement"),
  Claim("two_rollouts", "claims.rollouts"),
  Claim("off_policy", "claims.rollouts"),
  Claim("ppo_vs_dpo", "claims.ppo_vs_dpo"),
  Claim("kl_estimators", "claims.kl_estimators"),
  Claim("negatives_and_clipping", "claims.negatives"),
)
