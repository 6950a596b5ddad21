import pathlib

import pytest

import configs.common
from configs import config_values
from tasks import task_functions
from training.checking import config_files, validate
from training.errors import UserError


def problem(spec: str, overrides: dict) -> str:
  with pytest.raises(UserError) as error:
    validate.check(config_files.load(spec, overrides))
  return str(error.value)


FILES = pathlib.Path(configs.common.__file__).parent.glob("*.py")
CONFIGS = sorted(path.stem for path in FILES if "def get_config" in path.read_text())


@pytest.mark.parametrize("name", CONFIGS)
def test_the_projects_configs_are_valid(name):
  config = config_files.load(f"configs/{name}.py", {})
  validate.check(config, recurring=config.source == "rounds")


@pytest.mark.parametrize(
  "key, value, message",
  [
    ("group_size", 1, "so K must be at least 2 (K=1 gives zero gradient)"),
    ("group_size", 0, "group_size=0: must be at least 1"),
    ("steps", 0, "steps=0: must be at least 1"),
    ("seed", -1, "seed=-1: must not be negative"),
    ("base.seed", 2**32, "base.seed=4294967296: must be below 2^32"),
    ("optimizer.learning_rate", 0, "optimizer.learning_rate=0.0: must be above 0"),
    ("optimizer.learning_rate", float("nan"), "must be a finite number"),
    ("optimizer.warmup_steps", 81, "optimizer.warmup_steps=81: the run has only 28 steps"),
    ("optimizer.schedule", "cosin", "Did you mean cosine?"),
    ("optimizer.b2", 1.0, "must be at least 0 and below 1"),
    ("sampling.temperature", 0, "sampling.temperature=0.0: must be above 0 (evaluation samples"),
    ("sampling.top_p", 0, "sampling.top_p=0.0: must be above 0 and at most 1"),
    (
      "source",
      "offlin",
      "choose one of online, offline, rounds, demonstrations. Did you mean offline",
    ),
    ("task.name", "chain_sun", "Did you mean chain_sum or"),
    ("task.options", "min_word_length=3", "has no option 'min_word_length'. Did you mean min_word"),
    ("task.options", "short", "'short' is not name=value"),
    ("model.kv_heads", 3, "model.heads=4: must be a multiple of kv_heads=3"),
    ("model.head_dim", 31, "need an even number"),
    ("mesh.tensor", 3, "mesh.tensor=3: does not divide model.heads=4, model.kv_heads=2; try 1 or"),
    ("mesh.tensor", 4, "mesh.tensor=4: does not divide model.kv_heads=2; try 1 or 2"),
    ("mesh.fsdp", 256, "mesh.fsdp=256: does not divide model.d_model=128; try 1 or 2 or 4 or 8"),
    ("mesh.data", 3, "batch_prompts=32: does not divide over mesh.data x mesh.fsdp = 3 devices; "),
    ("micro_batches", 3, "batch_prompts=32: does not divide over 3 micro-batches; try 30 or 33"),
    ("task.train_prompts", 16, "batch_prompts=32: there are only task.train_prompts=16"),
    ("offline.dataset", "x", "offline.dataset='x': only source='offline' reads it, not 'online'"),
    ("algorithm.beta", float("nan"), "algorithm.beta=nan: must be a finite number"),
    ("algorithm.beta", -1, "algorithm.beta=-1: must be at least 0: it weighs a term of the loss"),
    ("algorithm.clip_low", 0, "algorithm.clip_low=0: must be above 0 and below 1: it holds"),
    ("algorithm.clip_low", 1, "algorithm.clip_low=1: must be above 0 and below 1: it holds"),
    ("algorithm.clip_high", 0, "algorithm.clip_high=0: must be above 0: it is how far"),
    ("algorithm.kl", "k4", "algorithm.kl='k4': choose one of k1, k2, k3, weighted_k3."),
    ("algorithm.ddof", 2, "algorithm.ddof=2: must be at least 0 and at most 1: the variance"),
    ("minibatches", 3, "does not divide over 3 minibatches"),
    ("inner_epochs", 0, "inner_epochs=0: must be at least 1"),
    ("reference.mix", 0, "reference.mix=0.0: must be above 0 and at most 1"),
    ("reference.mix", 0.6, "reference.mix=0.6: the reference is at rest; set reference.every"),
    ("scoring.overlong_tokens", 9, "scoring.overlong_tokens=9: above sampling.max_tokens=8"),
    ("scoring.model", "runs/x", "scoring.model='runs/x': only scoring.reward='model' reads it"),
    ("scoring.reward", "modl", "choose one of task, model. Did you mean model?"),
    ("algorithm.loss", "bradley_terry", "learns from written pairs: source='offline'"),
  ],
)
def test_what_makes_no_sense_for_grpo_is_said(key, value, message):
  said = problem("configs/grpo.py", {key: value})
  assert message in said
  assert len([line for line in said.splitlines() if line.startswith(f"{key}=")]) <= 1  # said once


@pytest.mark.parametrize(
  "overrides, message",
  [
    ({"group_size": 1}, "group_size=1: dpo compares the responses to a prompt, so K must be"),
    (
      {"group_size": 4, "algorithm.pairs": ""},
      "which of the 4 responses to a prompt are compared?",
    ),
    ({"algorithm.pairs": "bestworst"}, "Did you mean best_worst?"),
    ({"algorithm.beta": 0}, "algorithm.beta=0: must be above 0: it multiplies every log-ratio"),
    (
      {"algorithm.alpha": 0.3},
      "algorithm.alpha=0.3: only algorithm.divergence='alpha' reads it, not 'reverse_kl'",
    ),
    (
      {"algorithm.loss": "two_sided_grpo", "algorithm.ratio_cap": 1.1, "source": "online"},
      "algorithm.ratio_cap=1.1: must be at least 1 + algorithm.clip_high = 1.2: it bounds",
    ),
    (
      {"algorithm.loss": "two_sided_grpo", "algorithm.clip_high": 3.5, "source": "online"},
      "algorithm.ratio_cap=4.0: must be at least 1 + algorithm.clip_high = 4.5: it bounds",
    ),
    (
      {"algorithm.loss": "rec_ring", "algorithm.clip_high": 2.5, "source": "online"},
      "algorithm.outer_high=2.0: must be above algorithm.clip_high=2.5: no token is pushed",
    ),
    (
      {"algorithm.loss": "pass_at_k", "algorithm.k": 3, "source": "online"},
      "algorithm.k=3: must be at most group_size=2",
    ),
    ({"algorithm.divergence": "jss"}, "choose one of reverse_kl, forward_kl, js, alpha."),
    ({"algorithm.loss": "robust_dpo", "algorithm.label_smoothing": 0.5}, "below 0.5: it is the"),
    ({"algorithm.loss": "gdpo"}, "gdpo needs reward_parts, which only source='online' has"),
    ({"algorithm.loss": "remax"}, "remax needs greedy_rewards, which only source='online' has"),
    ({"algorithm.loss": "xpo"}, "xpo needs by_reference, which only source='online' has"),
    ({"reference.samples": 4}, "reference.samples=4: dpo asks for no rewards of the reference's"),
    ({"sampling.refills": 1}, "sampling.refills=1: only source='online' samples anew"),
    (
      {"algorithm.loss": "simpo", "reference.every": 5},
      "no reference that could move (simpo has none)",
    ),
    (
      {"algorithm.loss": "on_policy_distillation", "source": "online"},
      "its teacher, --config.reference.run=FOLDER",
    ),
    ({"algorithm.loss": "simpo", "reference.run": "x"}, "simpo looks back at no reference"),
    ({"reference.run": "nowhere"}, "reference.run='nowhere' is no run's folder"),
    ({"reference.run": "x", "reference.every": 5}, "reference.run='x': a reference that moves"),
    ({"reference.run": "x", "model.lora_rank": 4}, "reference.run='x': with adapters"),
    ({"algorithm.label_smoothing": 0.5}, "must be at least 0 and below 0.5"),
    ({"offline.dataset": "/not/there"}, "offline.dataset='/not/there': no such file or folder"),
    ({"source": "demonstrations"}, "so group_size must be 1, not 2"),
  ],
)
def test_what_makes_no_sense_for_dpo_is_said(overrides, message):
  assert message in problem("configs/dpo.py", overrides)


@pytest.mark.parametrize(
  ("field", "value"),
  [
    ("scoring.reward", "model"),
    ("scoring.unfinished", -1.0),
    ("scoring.overlong_tokens", 2),
    ("task.reward", "exact - 0.1*length"),
  ],
)
def test_maxrl_takes_no_negative_rewards(field, value):
  said = problem("configs/grpo.py", {"algorithm.loss": "maxrl", field: value})
  assert said.count("so no reward may be negative") == 1 and said.startswith(field)


@pytest.mark.parametrize("rule", ["best_worst", "all"])
def test_groups_larger_than_two_need_a_pair_rule_that_exists(rule):
  validate.check(config_files.load("configs/dpo.py", {"group_size": 4, "algorithm.pairs": rule}))


@pytest.mark.parametrize("loss", ["kto", "sft", "reinforce", "reinforce_plus_plus", "ppo", "remax"])
def test_losses_that_compare_nothing_take_one_response_a_prompt(loss):
  validate.check(config_files.load("configs/grpo.py", {"algorithm.loss": loss, "group_size": 1}))


@pytest.mark.parametrize("loss", ["grpo", "truncated_grpo", "rloo", "ppo"])
def test_demonstrations_have_no_log_probs_of_a_sampler(loss):
  said = problem("configs/sft.py", {"algorithm.loss": loss})
  assert f"{loss} needs old_logps, and no policy wrote the demonstrations" in said


@pytest.mark.parametrize("word", ["logps", "ref_logps", "entropy", "sampler_logps"])
def test_a_reward_models_loss_has_scores_and_no_policy(word, tmp_path, monkeypatch):
  (tmp_path / "mine.py").write_text(f"def mixed(scores, {word}, rewards, mask): ...")
  monkeypatch.chdir(tmp_path)
  said = problem("configs/reward_model.py", {"algorithm.loss": "mine:mixed"})
  assert "a reward model's loss has scores, and no log-probs or values" in said


@pytest.mark.parametrize(
  "overrides",
  [
    {"algorithm.loss": "dpo", "algorithm.divergence": "alpha", "algorithm.alpha": 0.3},
    {"algorithm.loss": "dpo", "reference.every": 5, "reference.mix": 0.6},
    {"algorithm.loss": "two_sided_grpo", "algorithm.ratio_cap": 1.2},
    {"algorithm.loss": "two_sided_grpo", "algorithm.clip_high": 3.0},  # the cap is 4
    {"algorithm.loss": "ppo", "algorithm.clip_high": 1.0},  # wide clips: only the lower is below 1
    {"algorithm.loss": "dapo", "algorithm.clip_high": 4.0},
    {"algorithm.beta": 0.0, "algorithm.kl": "k1"},  # what a sweep over beta starts from
  ],
)
def test_options_that_another_one_gives_a_meaning_pass(overrides):
  validate.check(config_files.load("configs/grpo.py", {"group_size": 2} | overrides))


@pytest.mark.parametrize(
  ("config", "overrides", "message"),
  [
    ("a_star_po", {"reference.samples": 0}, "8 to each prompt: --config.reference.samples=8"),
    ("a_star_po", {"reference.every": 3}, "has responses drawn from a reference at rest"),
    ("a_star_po", {"sampling.refills": 2}, "a group of equal rewards teaches a_star_po, too"),
    ("a_star_po", {"reference.samples": -1}, "reference.samples=-1: must not be negative"),
    ("remax", {"sampling.refills": 2}, "a group of equal rewards teaches remax, too"),
    ("remax", {"reference.run": "x"}, "remax looks back at no reference"),
    ("xpo", {"reference.every": 3}, "xpo has responses drawn from a reference at rest"),
    ("xpo", {"group_size": 1}, "xpo compares the responses to a prompt, so K must be at least 2"),
  ],
)
def test_sampling_that_a_loss_asks_for_has_what_it_needs(config, overrides, message):
  assert message in problem(f"configs/{config}.py", overrides)


def test_one_response_a_prompt_is_sent_where_it_works():
  said = problem("configs/grpo.py", {"group_size": 1})
  assert "configs/reinforce.py" in said and "configs/sft.py" in said


def test_all_problems_are_said_at_once():
  overrides = {"steps": 0, "task.name": "x", "sampling.top_p": 2, "group_size": 1}
  assert len(problem("configs/grpo.py", overrides).splitlines()) == 4


def test_every_rule_is_about_a_field_that_exists():
  rules = {*validate._AT_LEAST_1, *validate._AT_LEAST_0, *validate._ABOVE_0}
  assert {*rules, *validate._CHOICES} <= config_values.fields(configs.common.defaults("dpo")).keys()


def test_the_tasks_are_found_without_importing_reasoning_gym():
  names = task_functions.names()
  assert {"spell_backward", "chain_sum", "sentiment"} <= set(names) and len(names) > 100
