"""The ledger: claims of the literature about these losses, each tried by an experiment.

Begin with `claim.py` (a claim, and the finding of its experiment) and `table.py` (all claims, in
the order of the report). Then read any one claim: it is a function whose docstring quotes the claim
and describes the method.

  dpo_expansion, baselines, std_and_length, group_size, maximum_likelihood, optimum,
  four_responses, link_functions, kl_estimators
      by exact sums and small simulations, without a transformer
  gradients (and gradient_comparison), displacement, best_of_k, rollouts, semi_online,
  grpo_then_dpo, ppo_vs_dpo, negatives, clip_and_ratio
      by training runs in the small world
  optimal_baseline
      by both

`binomial` averages groups of rewards 0 or 1 exactly.

The small world is a transformer of 47 thousand parameters that learns to spell words backward, and
its training is one compiled program: `small_world` (words, rewards, the base policy, evaluation),
`small_training` (the program), `small_losses`, `small_preferences` (pairs, reward models, PPO) and
`small_results` (scores over seeds).

`intervals` has what all claims need of statistics. `results` keeps findings on disk, `sources`
reads the claims' text and code, `page` and `plots` make the report. The command is
experiments/claims.py.
"""
