"""A run is another when its results would be; and then it is said by what."""

import os
import shutil

import pytest

from configs.config_values import flatten
from tasks.code import files
from training.checking import config_files, digests, loss_signatures, pretrained_model
from training.errors import UserError
from training.records.files import read_json, write_json
from training.records.run_folder import RunFolder

LOSS = "def f(logps, mask, *, a=1.0):\n  return logps.sum() * a, {}\n"
REWARD = "def polite(completion):\n  return float('please' in completion)\n"
TASK = "def some():\n  return []\n"
OPTIM = "def adan(*, b3=0.1):\n  return b3\n\n\ndef half(progress):\n  return progress\n"
ROW = '{"prompt": "p", "chosen": "a", "rejected": "b"}\n'


@pytest.fixture
def place(tmp_path, monkeypatch):
  """A working directory with a loss, a reward, a task, a model, rows and runs of the user's own."""
  monkeypatch.chdir(tmp_path)
  (tmp_path / "mylab").mkdir()
  (tmp_path / "mylab" / "losses.py").write_text(LOSS)
  (tmp_path / "mylab" / "rewards.py").write_text(REWARD)
  (tmp_path / "mylab" / "tasks.py").write_text(TASK)
  (tmp_path / "mylab" / "optim.py").write_text(OPTIM)
  (tmp_path / "pairs.jsonl").write_text(ROW)
  llama = os.path.join(files.ROOT, "tests", "models", "pretrained", "hf", "llama3")
  shutil.copytree(llama, tmp_path / "llama")
  for name in ("base", "judge", "teacher"):
    RunFolder(name).create({"seed": 0}, digest="d", config_file="configs/sft.py")
  pretrained_model.fingerprint.cache_clear()  # a name is looked up once in a process
  return tmp_path


def load(**overrides):
  settings = {"algorithm.loss": "mylab.losses:f", "task.reward": "mylab.rewards:polite + exact"}
  settings |= {"model.pretrained": "llama", "base.run": "base", "scoring.model": "judge"}
  settings |= {"reference.run": "teacher"}
  settings |= {"task.name": "mylab.tasks:some", "optimizer.name": "mylab.optim:adan"}
  settings |= {"optimizer.schedule": "mylab.optim:half"}
  settings |= {"offline.dataset": "pairs.jsonl", "source": "offline"}
  overrides = {key.replace("__", "."): value for key, value in overrides.items()}
  return config_files.load("configs/grpo.py", settings | overrides)


def about(config):
  """config.json of a run of this config, as it is read again."""
  folder = RunFolder("run")
  folder.create(config.to_dict(), config_file="configs/grpo.py", **digests.of_run(config))
  return folder.read_config()


def test_a_digest_changes_with_what_changes_the_results_only():
  digest = digests.of_run(config_files.load("configs/dpo.py", {}))["digest"]
  same = config_files.load("configs/dpo.py", {"wandb.mode": "offline", "algorithm.beta": "0.8"})
  other = config_files.load("configs/dpo.py", {"algorithm.beta": "0.2"})
  assert len(digest) == 8 and digests.of_run(same)["digest"] == digest
  assert digests.of_run(other)["digest"] != digest


def rewrite(path, text):
  with open(path, "w") as file:
    file.write(text)


def train_again(run):
  config = read_json(f"{run}/config.json")
  write_json(f"{run}/config.json", config | {"created": config["created"] + 1})


# What may change while the config stays as it is, and how it is spoken of.
CHANGES = {
  "the loss `mylab.losses:f` (mylab/losses.py)": lambda: rewrite(
    "mylab/losses.py", LOSS.replace("sum", "mean")
  ),
  "the reward `mylab.rewards:polite` (mylab/rewards.py)": lambda: rewrite(
    "mylab/rewards.py", REWARD.replace("please", "thanks")
  ),
  "the task `mylab.tasks:some` (mylab/tasks.py)": lambda: rewrite(
    "mylab/tasks.py", TASK.replace("[]", "()")
  ),
  "the optimizer `mylab.optim:adan` (mylab/optim.py)": lambda: rewrite(
    "mylab/optim.py", OPTIM.replace("return b3", "return 2 * b3")
  ),
  "the schedule `mylab.optim:half` (mylab/optim.py)": lambda: rewrite(
    "mylab/optim.py", OPTIM.replace("return progress", "return progress / 2")
  ),
  "the pretrained model's files (model.pretrained='llama')": lambda: rewrite(
    "llama/generation_config.json", '{"eos_token_id": 1}'
  ),
  "the rows of offline.dataset='pairs.jsonl'": lambda: rewrite("pairs.jsonl", ROW * 2),
  "the base policy's files (base.run='base')": lambda: train_again("base"),
  "the teacher's files (reference.run='teacher')": lambda: train_again("teacher"),
  "the reward model's files (scoring.model='judge')": lambda: train_again("judge"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_it_is_said_which_of_the_things_that_a_config_names_changed(place, what):
  config = load()
  before = about(config)
  assert digests.of_run(config)["digest"] == before["digest"]
  CHANGES[what]()
  pretrained_model.fingerprint.cache_clear()
  assert digests.of_run(config)["digest"] != before["digest"]
  assert digests.difference(before, config) == f"this config, made before {what} changed"


def test_who_loads_a_run_is_told_that_the_model_under_it_changed(place, capsys):
  from experiments import export
  from tasks.rewards.reward import Reward
  from tasks.task import Task
  from training import base_policy, build, load_run

  about(load(base__run="", scoring__model=""))
  (place / "run" / "checkpoints" / "2").mkdir(parents=True)
  digests.check_pretrained(RunFolder("run"))  # nothing has
  what = "the pretrained model's files (model.pretrained='llama')"
  CHANGES[what]()
  pretrained_model.fingerprint.cache_clear()
  message = f"run: {what} have changed since it was trained"
  parts = build.put_together(config_files.load("configs/dpo.py"), Task("", (), (), Reward()))
  for use in (
    lambda: load_run("run").policy,
    lambda: base_policy.policy_of_run("run", parts, "runs", print),
  ):
    with pytest.raises(UserError) as error:
      use()
    assert message in str(error.value)
  assert export.main(["run", "out", "--dry_run"]) == 2
  assert message in capsys.readouterr().err


def test_several_changes_are_all_named_and_after_the_fields(place):
  config = load()
  before = about(config)
  CHANGES["the rows of offline.dataset='pairs.jsonl'"]()
  CHANGES["the loss `mylab.losses:f` (mylab/losses.py)"]()
  loss = "the loss `mylab.losses:f` (mylab/losses.py)"
  rows = "the rows of offline.dataset='pairs.jsonl'"
  assert digests.difference(before, config) == f"this config, made before {loss} and {rows} changed"
  more = load(algorithm__a=0.5, seed=3)
  assert digests.difference(before, more) == (
    f"another config (algorithm.a 1.0 -> 0.5; seed 0 -> 3; {loss} changed; {rows} changed)"
  )


def test_another_loss_reward_or_model_is_another_value_not_changed_code(place):
  config = load()
  before = about(config)
  shutil.copytree("base", "other")
  for field, value in (
    *(("algorithm.loss", "grpo"), ("task.reward", "exact"), ("base.run", "other")),
    ("offline.dataset", "mylab"),
  ):
    config = load(**{field: value, "source": "online"})
    said = digests.difference(before, config)
    assert said.startswith("another config (") and "changed" not in said
    assert f"{field} {flatten(before['config'])[field]} -> {value}" in said


def test_what_cannot_change_the_results_is_not_blamed(place):
  before = about(load())
  CHANGES["the loss `mylab.losses:f` (mylab/losses.py)"]()
  config = load(wandb__mode="offline", checkpoint__every=7, data__dir="elsewhere")
  assert digests.difference(before, config) == (
    "this config, made before the loss `mylab.losses:f` (mylab/losses.py) changed"
  )


def test_a_loss_that_moved_to_another_file_is_the_same(place):
  config = load()
  before = about(config)
  shutil.move("mylab/losses.py", "mylab/formulas.py")
  rewrite("mylab/losses.py", "from mylab.formulas import f\n")
  assert digests.of_run(config)["digest"] == before["digest"]
  rewrite("mylab/formulas.py", LOSS.replace("sum", "mean"))
  changed = "the loss `mylab.losses:f` (mylab/formulas.py)"
  assert digests.difference(before, config) == f"this config, made before {changed} changed"


def test_a_tuple_that_json_made_a_list_is_no_change(place):
  config = load()
  before = about(config)
  config.unlock()
  before["config"]["clip"], config.clip = [0.1, 0.3], (0.1, 0.3)
  assert "clip" not in digests.difference(before, config)


def test_a_run_of_an_earlier_version_is_called_so(place):
  config = load()
  earlier = {"digest": "0badc0de", "config": config.to_dict()}
  assert digests.difference(earlier, config) == (
    "this config, made by an earlier version of the code, whose digests cannot be compared with "
    "today's"
  )
  assert digests.difference(earlier, load(seed=1)) == "another config (seed 0 -> 1)"


def test_a_data_set_is_the_same_for_a_better_described_reward(place):
  recipe = {"task": {"reward": "mylab.rewards:polite"}}
  before = digests.of_recipe(recipe)
  rewrite("mylab/rewards.py", '"""Mine."""\n' + REWARD + "\n\ndef other(completion):\n  return 1\n")
  assert digests.of_recipe(recipe) == before
  CHANGES["the reward `mylab.rewards:polite` (mylab/rewards.py)"]()
  assert digests.of_recipe(recipe) != before


# --- our losses -----------------------------------------------------------------------------------


@pytest.fixture
def edited(tmp_path, monkeypatch):
  """edited(file, old, new): the losses whose digest changes with that edit of `algorithms`."""
  shutil.copytree(os.path.join(files.ROOT, "algorithms"), tmp_path / "algorithms")
  monkeypatch.chdir(tmp_path)

  def of_all():
    places = {name: loss_signatures.place_of(name) for name in loss_signatures.names()}
    return {name: digests.of_function("loss", name, place) for name, place in places.items()}

  def changed(file, old, new):
    before = of_all()
    path = tmp_path / "algorithms" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    return {name for name, found in of_all().items() if found.digest != before[name].digest}

  return changed


def test_a_helper_counts_for_the_losses_that_use_it_and_for_no_other(edited):
  changed = edited("divergences.py", "return jnp.expm1(d) - d", "return jnp.exp(d) - d - 1")
  assert {"grpo", "dapo", "off_policy_grpo"} <= changed
  assert not {"dpo", "ipo", "kto", "sft", "simpo"} & changed  # dpo imports from that file as well
  assert {"dpo", "ipo"} <= edited(
    "preferences.py", "return jnp.where(weights > 0, x", "return jnp.where(weights > 1, x"
  )


def test_all_losses_stand_on_their_decorator(edited):
  assert edited("loss_function.py", "jax.lax.stop_gradient(data)", "data") == set(
    loss_signatures.names()
  )


@pytest.mark.parametrize(
  "file, old, new",
  [
    ("dpo.py", "Direct Preference Optimization", "DPO"),
    ("preferences.py", "import jax\n", "import jax\n\n# A comment.\n"),
    ("dpo.py", "def _compare(", "def beside(x):\n  return x\n\n\ndef _compare("),
    ("ppo.py", "@loss_function\n", "@loss_function\ndef more(x): return x\n\n@loss_function\n"),
    ("dpo.py", "beta: Beta", "beta: Weight"),
    ("ranges.py", "RANGES = {", "RANGES = {'More': None,"),
  ],
)
def test_good_manners_keep_all_losses_as_they_are(edited, file, old, new):
  assert edited(file, old, new) == set()
