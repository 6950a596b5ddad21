"""Where the groups of a step come from: the policy, a data set, demonstrations."""
