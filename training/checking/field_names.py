"""Which field of a config was meant by a name that none has: a slip, or another trainer's word."""

from collections.abc import Iterable

from tasks.slips import nearest

# Our fields by the words of other trainers (TRL and transformers first) and of common speech.
ELSEWHERE = {
  "lr": "optimizer.learning_rate",
  "wd": "optimizer.weight_decay",
  "optim": "optimizer.name",
  "lr_scheduler_type": "optimizer.schedule",
  "adam_beta1": "optimizer.b1",
  "adam_beta2": "optimizer.b2",
  "bs": "batch_prompts",
  "batch_size": "batch_prompts",
  "per_device_train_batch_size": "batch_prompts",
  "gradient_accumulation_steps": "micro_batches",
  "num_generations": "group_size",
  "num_iterations": "inner_epochs",
  "max_steps": "steps",
  "max_completion_length": "sampling.max_tokens",
  "max_new_tokens": "sampling.max_tokens",
  "max_prompt_length": "data.max_prompt_tokens",
  "epsilon": "algorithm.clip_low",
  "epsilon_high": "algorithm.clip_high",
  "loss_type": "algorithm.loss",
  "model_name_or_path": "model.pretrained",
  "lora_r": "model.lora_rank",
  "eval_steps": "eval.every",
  "save_steps": "checkpoint.every",
}


def nearest_to(key: str, fields: Iterable[str]) -> list[str]:
  """The fields that `key`, such as "optimizer.lr", may have been meant for, the likeliest first."""
  section, _, name = key.rpartition(".")
  last_words = {field: field.rpartition(".")[2] for field in fields}
  near = nearest(name, set(last_words.values()))
  siblings = [f"{section}.{word}".removeprefix(".") for word in near]
  return (
    [field for field, word in last_words.items() if word == name]
    or elsewhere(key, last_words)
    or [field for field in siblings if field in last_words]
    or [field for word in near for field, last in last_words.items() if last == word]
    or nearest(key, last_words)
  )


def elsewhere(key: str, fields: Iterable[str]) -> list[str]:
  """The field that another trainer calls by the last word of `key`, in its section if there is."""
  section, _, name = key.rpartition(".")
  ours = ELSEWHERE.get(name, "")
  in_section = f"{section}.{ours.rpartition('.')[2]}"
  return [field for field in (in_section, ours) if field in {*fields}][:1]
