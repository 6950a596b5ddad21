"""Tasks of a policy: prompts, what is known of their answers, and a reward.

  --config.task.name=sentiment        a task of the table below, or a data set of reasoning-gym
  --config.task.name=mylab:countdown  any function of your own

A task is one function that gives an `Item` for each prompt, always the same ones in the same order;
prompts that came before are dropped. The first distinct prompts are those that a run is evaluated
on, the next are trained on.

  from tasks import Item, traits

  @traits(reward="numeric")
  def countdown(prompts, *, step: int = 1):
    for n in range(prompts):
      yield Item(f"{n + step}-{step}=", answer=str(n))

Its positional arguments say what it looks at, any of `task_functions.ARGUMENTS` (prompts,
tokenizer, rows, scored_rows); keyword-only arguments are its options (config.task.options). Literal
`traits` beside it say what a run must know before there is a prompt (`items.Traits`). Adding one =
one function + one line here, or none: `module:function` is any function of your own.
"""

from tasks.items import Item, traits

# By name, so that nothing is imported but the task that is asked for. A name that is not here is
# one of reasoning-gym's data sets.
TASKS = {
  "sentiment": "tasks.sentiment:sentiment",
  "running_sum": "tasks.sums:running_sum",
  "gsm8k": "tasks.texts:gsm8k",
  "questions": "tasks.texts:questions",
  "groups": "tasks.texts:groups",
}

__all__ = ["TASKS", "Item", "traits"]
