"""All claims, in the order of the report. A new one is a function in a file here, and a line."""

from experiments.ledger.claim import Claim

CLAIMS = (
  Claim("dpo_expansion", "experiments.ledger.dpo_expansion"),
  Claim("parallel_gradients", "experiments.ledger.gradients"),
  Claim("offline_grpo_is_dpo", "experiments.ledger.gradients"),
  Claim("zero_sum_weights", "experiments.ledger.gradients"),
  Claim("baselines", "experiments.ledger.baselines"),
  Claim("std_and_length", "experiments.ledger.std_and_length"),
  Claim("optimum", "experiments.ledger.optimum"),
  Claim("four_responses", "experiments.ledger.four_responses"),
  Claim("displacement", "experiments.ledger.displacement"),
  Claim("two_rollouts", "experiments.ledger.rollouts"),
  Claim("off_policy", "experiments.ledger.rollouts"),
  Claim("ppo_vs_dpo", "experiments.ledger.ppo_vs_dpo"),
  Claim("kl_estimators", "experiments.ledger.kl_estimators"),
  Claim("negatives_and_clipping", "experiments.ledger.negatives"),
)
