"""config.task from the command line to prompts, before jax is imported."""

import subprocess
import sys

import pytest

from configs import common, grpo
from tasks import TASKS, task_functions
from tasks.items import Traits
from training.checking import config_files, config_task, digests, task_signatures, validate
from training.errors import UserError

OWN = "tests.tasks.own_tasks"
SMALL = {"task.train_prompts": 64, "task.eval_prompts": 16, "base.steps": 0, "batch_prompts": 16}


def problem(name, **overrides):
  with pytest.raises(UserError) as error:
    checked(name, **overrides)
  return str(error.value)


def checked(name, **overrides):
  overrides = {key.replace("__", "."): value for key, value in overrides.items()}
  config = config_files.load("configs/grpo.py", SMALL | {"task.name": name} | overrides)
  validate.check(config)
  return config


def test_a_task_of_ones_own_is_built_with_its_options_and_its_own_reward():
  config = checked(f"{OWN}:countdown", task__options="step=3,word=x")
  assert config.task.reward == "numeric"
  task = config_task.task_of(config)
  assert (task.train[0].prompt, task.train[0].answer) == ("x19-3=", "16")
  assert len(task.train) == 64 and len(task.evaluation) == 16
  assert task.reward_names == ("numeric",)


@pytest.mark.parametrize(
  "overrides, reward",
  [
    ({}, "exact"),
    ({"task.name": "letter_counting"}, "exact"),
    ({"task.name": "sentiment"}, "vader"),
    ({"task.name": "groups"}, "none"),
    ({"task.name": f"{OWN}:countdown"}, "numeric"),
    ({"task.name": f"{OWN}:countdown", "task.reward": "exact"}, "exact"),
    ({"task.name": "no_such_task"}, ""),  # which is what will be said
  ],
)
def test_the_reward_is_the_tasks_own_unless_it_is_given(overrides, reward):
  assert config_files.load("configs/grpo.py", overrides).task.reward == reward


@pytest.mark.parametrize("name, reward", [("spell_backward", "exact"), ("sentiment", "vader")])
def test_a_config_made_in_python_gets_the_tasks_own_reward_too(name, reward):
  config = grpo.get_config()
  common.use_task(config, name)
  loaded = config_files.load("configs/grpo.py", {"task.name": name, "base.steps": 0})
  filled = config_files.complete(config)
  assert filled.task.reward == reward
  assert digests.of_run(filled)["digest"] == digests.of_run(loaded)["digest"]
  filled.task.reward = ""
  validate.check(filled)
  assert config_task.task_of(filled).reward_names == (reward,)


@pytest.mark.parametrize(
  "name, overrides, message",
  [
    (
      "sentimnt",
      {},
      "task.name='sentimnt': neither sentiment, running_sum, gsm8k, questions, groups nor",
    ),
    ("sentimnt", {}, "Did you mean sentiment? (Your own: module:function)"),
    ("zzz", {}, "Try spell_backward or chain_sum."),
    (f"{OWN}:countdwn", {}, "task.name: no function 'countdwn' in "),
    (f"{OWN}:countdwn", {}, "Did you mean countdown?"),
    ("not_there:countdown", {}, "task.name: cannot import not_there:countdown from"),
    ("mine/tasks.py:countdown", {}, "is not module.path:function, such as mine.tasks:countdown"),
    (f"{OWN}:NO_FUNCTION", {}, "task.name: tests.tasks.own_tasks:NO_FUNCTION is no function: 3"),
    (f"{OWN}:asks_for_a_prompt", {}, "its argument 'prompt' is none that a task may ask for."),
    (f"{OWN}:any_options", {}, "takes **options: write its arguments and options out"),
    (f"{OWN}:countdown", {"task__options": "stp=3"}, "has no option 'stp'. Did you mean step?"),
    (f"{OWN}:countdown", {"task__options": "step=0.5"}, "step is int; 0.5 is not"),
    (
      f"{OWN}:countdown",
      {"task__options": "step"},
      "task.options='step': 'step' is not name=val",
    ),
    (f"{OWN}:plain", {"task__options": "n=1"}, f"task.options='n=1': {OWN}:plain has none"),
    (
      f"{OWN}:needs",
      {},
      "own_tasks:needs needs size: write --config.task.options=size",
    ),
    (
      f"{OWN}:plain",
      {},
      "own_tasks:plain has only 10 distinct prompts; train_prompts +",
    ),
    (f"{OWN}:gives_pairs", {}, "gives_pairs: item 2 is ('2', '2'), no tasks.Item(prompt, answer)"),
    (f"{OWN}:without_answers", {}, 'gives no answers: write @traits(answers="none", reward=...)'),
    (
      f"{OWN}:countdown",
      {"base__steps": 3},
      "base.steps=3: tests.tasks.own_tasks:countdown has",
    ),
    (
      f"{OWN}:countdown",
      {"task__data": "x"},
      "task.data='x': only gsm8k, questions, groups,",
    ),
    (f"{OWN}:request", {}, f"task.data='': {OWN}:request needs a file, or the name of"),
    (f"{OWN}:request", {"task__reward": "exact"}, "has no answers for 'exact'; try 'vader'"),
    ("chain_sum", {"task__reward": "none"}, "only task.name='groups' goes without; this task's is"),
    (
      f"{OWN}:plain",
      {"task__reward": "none"},
      "task.reward='none': only task.name='groups' g",
    ),
  ],
)
def test_what_is_wrong_with_a_task_is_said(name, overrides, message):
  said = problem(name, **overrides)
  assert message in said and len(said.splitlines()) <= 2


def test_a_file_of_rows_is_a_task_of_ones_own(tmp_path):
  path = tmp_path / "rows.jsonl"
  rows = [f'{{"prompt": "p{n}", "answer": "{n}"}}\n' for n in range(64)]
  path.write_text("".join(rows))
  task = config_task.task_of(checked(f"{OWN}:request", task__data=str(path)))
  prompts = {item.prompt for item in task.train + task.evaluation}
  assert prompts == {f"Please: p{n}" for n in range(64)} and len(task.evaluation) == 16


@pytest.mark.parametrize("name", [*TASKS, *(f"{OWN}:{name}" for name in ("countdown", "plain"))])
def test_the_source_says_what_an_import_would(name):
  read, found = task_signatures.read(name), task_functions.find(name)
  assert (read.takes, read.traits) == (found.takes, found.traits)


@pytest.mark.parametrize(
  "name, traits",
  [("wrapped", Traits("length(max=3)")), ("by_name", Traits(answers="compared"))],
)
def test_traits_that_the_source_does_not_spell_out_are_imported(name, traits):
  assert task_signatures.read(f"{OWN}:{name}").traits == traits


@pytest.mark.parametrize(
  "beside, message",
  [
    ("rewrad='exact'", "task.name: traits_at_fault:f: no trait 'rewrad'. Did you mean reward?"),
    ("reward=3", "task.name: the trait reward is str; 3 is not"),
    ("answers='some'", "the trait answers='some' is none of demonstrated, compared, none"),
  ],
)
def test_traits_at_fault_are_said(tmp_path, beside, message):
  (tmp_path / "traits_at_fault.py").write_text(f"@traits({beside})\ndef f():\n  return []\n")
  code = (
    "import sys; from training.checking import config_files, validate;"
    "validate.check(config_files.load('configs/grpo.py', {'task.name': 'traits_at_fault:f'}))"
  )
  done = subprocess.run(
    [sys.executable, "-c", code],
    capture_output=True,
    text=True,
    env={"PYTHONPATH": f"{tmp_path}:{':'.join(sys.path)}"},
  )
  assert message in done.stderr


def test_a_config_is_checked_without_importing_what_is_slow():
  code = (
    "import sys; from training.checking import config_files, validate;"
    f"names = ('chain_sum', '{OWN}:countdown');"
    "configs = [config_files.load('configs/grpo.py', {'task.name': name, 'base.steps': 0})"
    "  for name in names];"
    f"read = {{'numpy', '{OWN}'}} & sys.modules.keys();"
    "[validate.check(config) for config in configs];"
    "slow = {'jax', 'reasoning_gym', 'tensorflow_datasets'} & sys.modules.keys();"
    "sys.exit(str(read | slow or ''))"
  )
  done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
  assert done.stderr.strip() == ""


def test_the_digest_changes_with_the_code_of_a_task_of_ones_own(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  found = []
  for body in ("[]", "[]  # a comment", "()"):
    (tmp_path / "task_to_change.py").write_text(f"def some():\n  return {body}\n")
    config = config_files.load("configs/grpo.py", {"task.name": "task_to_change:some"})
    found.append(digests.of_run(config)["digest"])
  assert found[0] == found[1] != found[2]
