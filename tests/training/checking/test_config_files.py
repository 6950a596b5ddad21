import subprocess
import sys

import pytest

import configs.common
from configs import config_values
from training.checking import config_files, field_names, validate
from training.errors import UserError

CONFIG = """
from configs import common
from ml_collections.config_dict import placeholder

def get_config():
  config = common.defaults("grpo")
  config.algorithm.beta = 1
  {more}
  with config.unlocked():
    config.betas = (0.9, 0.95)
    config.limit = placeholder(float)
  return config
"""


@pytest.fixture
def write(tmp_path):
  """Writes a file in a temporary folder and returns its path."""

  def write(text: str, name: str = "mine.py") -> str:
    path = tmp_path / name
    path.write_text(text)
    return str(path)

  return write


def problem(spec: str, **overrides) -> str:
  with pytest.raises(UserError) as error:
    config_files.load(spec, {key.replace("__", "."): v for key, v in overrides.items()})
  return str(error.value)


@pytest.mark.parametrize("name", ["sft", "dpo", "grpo", "off_policy_grpo", "offline_grpo"])
def test_every_config_loads_and_makes_256_responses_a_step(name):
  config = config_files.load(f"configs/{name}.py", {})
  assert config.algorithm.loss == name
  assert config.batch_prompts * config.group_size == 256


@pytest.mark.parametrize(
  "name, loss, options",
  [("bnpo", "dapo", {"clip_low": 0.2, "clip_high": 0.2}), ("best_of_k", "sft", {})],
)
def test_a_default_or_a_regime_with_a_name_is_a_config(name, loss, options):
  config = config_files.load(f"configs/{name}.py", {})
  assert (config.algorithm.loss, config.source, config.group_size) == (loss, "online", 8)
  assert options.items() <= config.algorithm.to_dict().items()
  validate.check(config)
  message = problem("configs/grpo.py", algorithm__loss=name)
  assert message == f"no loss '{name}'; it is a config: --config=configs/{name}.py"


def test_the_algorithm_section_is_the_keyword_arguments_of_the_loss():
  config = config_files.load("configs/dpo.py", {})
  assert config.algorithm.to_dict() == {
    "loss": "dpo",
    "beta": 0.8,
    "label_smoothing": 0.0,
    "pairs": "best_worst",
    "divergence": "reverse_kl",
    "alpha": 0.5,
  }


def test_the_argument_after_the_colon_reaches_the_file():
  config = config_files.load("configs/grpo.py:k=4", {})
  assert (config.group_size, config.batch_prompts) == (4, 64)


def test_text_and_values_override_fields():
  text = {"algorithm.beta": "1", "model.tied": "false", "steps": "7", "task.name": "chain_sum"}
  values = {"algorithm.beta": 1, "model.tied": False, "steps": 7, "task.name": "chain_sum"}
  config = config_files.load("configs/dpo.py", text)
  assert config == config_files.load("configs/dpo.py", values)
  assert isinstance(config.algorithm.beta, float) and config.algorithm.beta == 1.0
  assert (config.model.tied, config.steps, config.task.name) == (False, 7, "chain_sum")


def test_tuples_and_placeholders_can_be_overridden(write):
  path = write(CONFIG.replace("{more}", ""))
  config = config_files.load(path, {"betas": "0.8,1", "limit": "3"})
  assert (config.betas, config.limit) == ((0.8, 1.0), 3.0)
  assert config_files.load(path, {"betas": "(0.8, 0.9)", "limit": "none"}).limit is None
  assert problem(path, limit="high") == "--config.limit is float (default None); 'high' is not."


def test_a_value_that_a_file_requires_must_be_given(write):
  path = write(
    "from configs import common\n"
    "from ml_collections.config_dict import required_placeholder\n"
    "def get_config():\n"
    "  config = common.defaults('dpo')\n"
    "  config.algorithm.beta = required_placeholder(float)\n"
    "  return config\n"
  )
  assert config_files.load(path, {"algorithm.beta": "0.3"}).algorithm.beta == 0.3
  assert "a field that must be given has no value" in problem(path)


def test_another_loss_keeps_the_hyperparameters_it_shares_with_the_file(write):
  path = write(CONFIG.replace("{more}", "config.algorithm.clip_low = 0.3"))
  config = config_files.load(path, {"algorithm.loss": "dpo", "algorithm.pairs": "all"})
  assert config.algorithm.beta == 1.0  # the file's
  assert (config.algorithm.label_smoothing, config.algorithm.pairs) == (0.0, "all")
  assert "clip_low" not in config.algorithm
  message = problem(path, algorithm__loss="dpo", algorithm__clip_low=0.1)
  assert "has no field 'algorithm.clip_low'" in message


@pytest.mark.parametrize(
  "spec, message",
  [
    (
      "configs/dppo.py",
      "no config file 'configs/dppo.py'. Did you mean configs/ppo.py or configs/dpo.py or",
    ),
    ("configs/grpo", "no config file 'configs/grpo'. Did you mean configs/grpo.py?"),
    ("grpo", "no config file 'grpo'. Did you mean configs/grpo.py?"),
    ("grpo:k=8", "no config file 'grpo'. Did you mean configs/grpo.py?"),
    ("quick", "no config file 'quick'. Did you mean configs/sweeps/quick.py?"),
    ("quick.py", "no config file 'quick.py'. Did you mean configs/sweeps/quick.py?"),
    ("gsm8k", "no config file 'gsm8k'. Did you mean configs/tasks/gsm8k.py?"),
    ("zzzzzzzz", "There are configs/a_star_po.py, configs/best_of_k.py, "),
    (
      "configs/sweeps/quick.py",
      "configs/sweeps/quick.py has no get_config() (it defines get_sweep: "
      "run it with python -m experiments.sweep)",
    ),
    ("configs/grpo.py:kk=8", "configs/grpo.py:kk=8: no argument 'kk'; it takes k=8"),
    ("configs/grpo.py:k=x", "configs/grpo.py:k=x: k is int, 'x' is not; it takes k=8"),
    ("configs/dpo.py:k=2", "configs/dpo.py takes no argument, so 'k=2' cannot follow the colon"),
  ],
)
def test_a_wrong_file_or_argument_names_the_right_one(spec, message):
  assert message in problem(spec)


@pytest.mark.parametrize(
  "key, value, message",
  [
    ("algorithm.bta", "0.2", "no field 'algorithm.bta'. Did you mean --config.algorithm.beta?"),
    ("beta", "0.2", "configs/dpo.py has no field 'beta'. Did you mean --config.algorithm.beta?"),
    (
      "optimizer.lr",
      "1",
      "configs/dpo.py has no field 'optimizer.lr'. Did you mean --config.optimizer.learning_rate?",
    ),
    ("lr", "1", "no field 'lr'. Did you mean --config.optimizer.learning_rate?"),
    ("reward_model.lr", "1", "Did you mean --config.reward_model.learning_rate?"),
    ("bs", "8", "no field 'bs'. Did you mean --config.batch_prompts?"),
    ("num_generations", "8", "Did you mean --config.group_size?"),
    ("max_completion_length", "8", "Did you mean --config.sampling.max_tokens?"),
    ("epsilon", "0.1", "configs/dpo.py has no field 'epsilon'."),  # a loss with a clip has it
    ("modl.layers", "1", "Did you mean --config.model.layers?"),
    ("model", "1", "model is a section of configs/dpo.py; set its fields, such as --config.model."),
    ("steps", "2.5", "--config.steps is int (default 28); '2.5' is not."),
    ("steps", "4.0", "--config.steps is int (default 28); '4.0' is not."),
    ("steps", True, "--config.steps needs a value after a `=`: int (default 28)."),
    ("model.tied", "yes", "--config.model.tied is bool (default True); 'yes' is not."),
    ("model.tied", 1, "--config.model.tied is bool (default True); 1 is not."),
    ("algorithm.beta", "high", "--config.algorithm.beta is float (default 0.8); 'high' is not."),
    ("algorithm.loss", "dpoo", "no loss 'dpoo'. Did you mean dpo or"),
    ("algorithm.loss", True, "--config.algorithm.loss=True: must be the name of a loss"),
  ],
)
def test_a_wrong_override_names_the_right_one(key, value, message):
  assert message in problem("configs/dpo.py", **{key: value})


def test_a_word_of_another_trainer_leads_to_a_field_that_there_is():
  assert "Did you mean --config.algorithm.clip_low?" in problem("configs/grpo.py", epsilon="0.1")
  fields = config_values.fields(config_files.load("configs/grpo.py", {}))
  assert set(field_names.ELSEWHERE.values()) <= fields.keys()
  assert not {*field_names.ELSEWHERE} & {*fields}


def test_a_sweep_by_its_name_alone_is_told_its_file():
  with pytest.raises(UserError) as error:
    config_files.load_sweep("quick")
  assert str(error.value) == "no config file 'quick'. Did you mean configs/sweeps/quick.py?"


def test_all_problems_of_a_config_are_said_at_once():
  message = problem("configs/dpo.py", algorithm__loss="dpoo", steps="x", bta="1")
  assert len(message.splitlines()) == 4  # three, and where the fields are listed
  assert message.endswith("--help lists every field)")


@pytest.mark.parametrize(
  "text, message",
  [
    ("def get_config(:", "mine.py line 1: "),
    ("def get_config():\n  return nothing", "mine.py line 2: NameError: name 'nothing'"),
    ("def get_config():\n  return {}", "get_config() returned dict, not a ConfigDict"),
    ("x = 1", "mine.py has no get_config()"),
    (
      "from ml_collections import ConfigDict\ndef get_config():\n  return ConfigDict()",
      "mine.py lacks algorithm.loss, ",
    ),
    (CONFIG.replace("{more}", "config.stepz = 3"), 'Did you mean "steps" instead of "stepz"?'),
    (CONFIG.replace("{more}", "config.steps = 1.5"), "mine.py line 8: TypeError"),
    (
      CONFIG.replace("{more}", "config.algorithm.bta = 1.0"),
      "mine.py: loss grpo has no hyperparameter 'bta'. Did you mean beta?",
    ),
    (
      CONFIG.replace("{more}", "config.algorithm.ddof = 0.5"),
      "mine.py: algorithm.ddof is int (default 0); 0.5 is not.",
    ),
  ],
)
def test_a_mistake_in_a_config_file_is_located(write, text, message):
  assert message in problem(write(text))


def test_the_int_default_of_a_users_loss_explains_itself(tmp_path, monkeypatch):
  (tmp_path / "mine.py").write_text("def loss(logps, mask, *, tau=1): ...")
  monkeypatch.chdir(tmp_path)
  message = problem("configs/grpo.py", algorithm__loss="mine:loss", algorithm__tau="0.5")
  assert (
    "tau is int (default 1); '0.5' is not. (For a float, write tau=1.0 in mine:loss.)" in message
  )


def test_the_quick_sweep_compares_five_variants_at_one_budget():
  items = config_files.load_sweep("configs/sweeps/quick.py")
  assert len(items) == 25
  budgets, groups = set(), {}
  for item in items:
    overrides = {key: item[key] for key in item if key not in ("config", "name")}
    config = config_files.load(item["config"], overrides)
    budgets.add((config.steps, config.batch_prompts * config.group_size))
    groups[item["name"]] = (config.algorithm.loss, config.source, config.group_size)
  assert len(budgets) == 1
  assert groups == {
    "dpo-offline": ("dpo", "offline", 2),
    "dpo-online": ("dpo", "online", 2),
    "grpo-k2": ("grpo", "online", 2),
    "grpo-k8": ("grpo", "online", 8),
    "off-policy-grpo-k8": ("off_policy_grpo", "offline", 8),
  }


def test_a_get_hyper_written_for_google_runs(write):
  path = write(
    "def get_config(): ...\n"
    "def get_hyper(hyper):\n"
    "  return hyper.product([hyper.sweep('config.algorithm.beta', [0.1, 0.2])])\n"
  )
  assert config_files.load_sweep(path) == [
    {"algorithm.beta": 0.1, "config": path},
    {"algorithm.beta": 0.2, "config": path},
  ]


@pytest.mark.parametrize(
  "text, message",
  [
    ("def get_config(): ...", "has no get_sweep() (it defines get_config: run it with python -m"),
    ("def get_sweep():\n  return []", "get_sweep() gives no runs"),
    ("def get_sweep():\n  yield {'seed': 1}", 'item 0 names no config file, as "config": '),
    ("def get_sweep():\n  yield {'seed': 1 / 0}", "mine.py line 2: ZeroDivisionError"),
  ],
)
def test_a_mistake_in_a_sweep_file_is_located(write, text, message):
  with pytest.raises(UserError) as error:
    config_files.load_sweep(write(text))
  assert message in str(error.value)


def test_the_projects_configs_are_found_from_any_folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert config_files.load("configs/dpo.py", {}).algorithm.loss == "dpo"


def test_every_field_has_a_comment():
  from experiments.command_line.cli_help import field_comments

  with open(configs.common.__file__) as file:
    comments = field_comments(file.read())
  assert config_values.fields(configs.common.defaults("dpo")).keys() <= comments.keys()


def test_checking_a_config_imports_no_jax():
  code = (
    "import sys; from experiments.command_line import cli; "
    "from training.checking import config_files, validate; "
    "validate.check(config_files.load('configs/grpo.py', {})); sys.exit('jax' in sys.modules)"
  )
  assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_config_of_an_older_run_gets_the_fields_that_came_later():
  config = config_files.load("configs/grpo.py", {"sampling.max_tokens": 5, "seed": 3})
  older = config.to_dict()
  del older["replay"], older["sampling"]["lag"]
  assert config_files.of_record(older).to_dict() == config.to_dict()
  assert older.keys() < config.to_dict().keys()  # what was given stays as it was
