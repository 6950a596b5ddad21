"""Rewards of a response, each one function: `task.reward` spells a weighted sum of them.

  "numeric + 0.2*format + 0.1*mylab.rewards:politeness"      (spelling.py)

A reward names what it looks at, any of `function.ARGUMENTS` (completion, prompt, answer, entry);
keyword-only arguments are its options. It returns a number, or None for "cannot be scored". Adding
one = one function + one line here, or none: `module:function` is any function of your own.
"""

# By name, so that nothing is imported but what scores, where it scores: workers import the slow.
REWARDS = {
  "exact": "tasks.rewards.answers:exact_match",
  "numeric": "tasks.rewards.answers:numeric_answer",
  "math": "tasks.rewards.math_verification:math_answer",
  "scorer": "tasks.rewards.reasoning_gym_scorers:reasoning_gym_score",
  "format": "tasks.rewards.texts:whole_match",
  "regex": "tasks.rewards.texts:match_somewhere",
  "length": "tasks.rewards.texts:length",
  "vader": "tasks.rewards.texts:vader",
  "none": "tasks.rewards.texts:unscored",
}

# 1 for a right response and nothing else (`scorer` for all of its points): pass@k is of these.
EXACT = ("exact", "numeric", "math", "scorer")

# Known to answer at once whatever the text: scored in the process that asks. A pattern may go on
# for ever, and the libraries behind `math` and `scorer` evaluate what the policy wrote.
QUICK = frozenset({"exact", "numeric", "length", "none"})
