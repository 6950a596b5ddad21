"""All claims, in the order of the report. To add one: a function in a file here, and a line."""

from claims.claim import Claim

CLAIMS = (
  Claim("dpo_expansion", "claims.dpo_expansion"),
  Claim("parallel_gradients", "claims.gradients"),
  Claim("offline_grpo_is_dpo", "claims.gradients"),
  Claim("zero_sum_weights", "claims.gradients"),
  Claim("baselines", "claims.baselines"),
  Claim("optimal_baseline", "claims.optimal_baseline"),
  Claim("std_and_length", "claims.std_and_length"),
  Claim("group_size", "claims.group_size"),
  Claim("maximum_likelihood", "claims.maximum_likelihood"),
  Claim("optimum", "claims.optimum"),
  Claim("four_responses", "claims.four_responses"),
  Claim("displacement", "claims.displacement"),
  Claim("best_of_k", "claims.best_of_k"),
  Claim("two_rollouts", "claims.rollouts"),
  Claim("off_policy", "claims.rollouts"),
  Claim("semi_online", "claims.semi_online"),
  Claim("grpo_then_dpo", "claims.grpo_then_dpo"),
  Claim("ppo_vs_dpo", "claims.ppo_vs_dpo"),
  Claim("link_functions", "claims.link_functions"),
  Claim("kl_estimators", "claims.kl_estimators"),
  Claim("negatives_and_clipping", "claims.negatives"),
  Claim("clip_and_ratio", "claims.clip_and_ratio"),
)
