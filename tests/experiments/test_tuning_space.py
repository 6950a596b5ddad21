"""Which fields of which variant are tuned, and over what; and what is no space."""

import pytest

from configs.hyper import interval, log_uniform
from experiments.sweeping import plan
from experiments.tuning import space
from training.errors import UserError

SWEEP = """
from configs.hyper import interval, log_uniform

def get_sweep():
  yield {"name": "dpo-a", "config": "configs/dpo.py"}
  yield {"name": "dpo-b", "config": "configs/dpo.py", "source": "online"}
  yield {"name": "grpo", "config": "configs/grpo.py:k=8"}

def get_tuning():
  return {TUNING}
"""
RATE = "optimizer.learning_rate"


@pytest.fixture
def of(tmp_path):
  """The space of a sweep file with this text for a space, and of what is typed."""

  def read(tuning, **typed):
    file = tmp_path / "mine.py"
    file.write_text(SWEEP.replace("{TUNING}", tuning))
    sweep = plan.make(str(file), {}, str(tmp_path / "out"))
    typed = {key.replace("__", "."): text for key, text in typed.items()}
    return space.of(str(file), typed, {run.variant: run for run in sweep.runs})

  return read


def test_a_field_is_tuned_for_the_variants_that_have_it(of):
  found = of(f"{{'{RATE}': log_uniform(1e-5, 1e-3), 'algorithm.clip_low': [0.1, 0.2]}}")
  rate = log_uniform(1e-5, 1e-3)
  assert found["dpo-a"] == {RATE: rate}
  assert found["grpo"] == {RATE: rate, "algorithm.clip_low": [0.1, 0.2]}


def test_a_name_or_a_pattern_gives_variants_a_space_of_their_own(of):
  found = of(f"{{'{RATE}': [1e-4, 2e-4], 'dpo-*': {{'algorithm.beta': interval(0.1, 1)}}}}")
  assert [list(found[name]) for name in ("dpo-a", "dpo-b", "grpo")] == [
    [RATE, "algorithm.beta"],
    [RATE, "algorithm.beta"],
    [RATE],
  ]
  assert of(f"{{'{RATE}': [1e-4, 2e-4], 'grpo': {{'{RATE}': [1, 2]}}}}")["grpo"] == {RATE: [1, 2]}


def test_what_is_typed_counts_before_the_file(of):
  text = f"{{'{RATE}': [1e-4, 2e-4], 'grpo': {{'{RATE}': [1e-3, 2e-3]}}}}"
  found = of(text, optimizer__learning_rate="5e-5..1e-3:log", algorithm__beta="0.1,0.3")
  assert found["grpo"][RATE] == found["dpo-a"][RATE] == log_uniform(5e-5, 1e-3)
  assert found["dpo-b"]["algorithm.beta"] == [0.1, 0.3]


def test_the_range_of_a_float_is_not_of_whole_numbers(of):
  found = of("{'algorithm.beta': interval(0.5, 2), 'group_size': interval(2, 4)}")["dpo-a"]
  assert found == {"algorithm.beta": interval(0.5, 2.0), "group_size": interval(2, 4)}
  assert isinstance(found["algorithm.beta"].high, float)


@pytest.mark.parametrize(
  ("tuning", "answer"),
  [
    ("{'optimizer.lr': [1e-4, 2e-4]}", "no variant has a field 'optimizer.lr' to tune. Did you"),
    ("{'grpo': {'algorithm.label_smoothing': [0.1, 0.2]}}", "grpo has no field"),
    ("{'gpro': {'group_size': [2, 4]}}", "variant='gpro': choose one of dpo-a, dpo-b, grpo. Did"),
    (f"{{'{RATE}': log_uniform(0, 1e-3)}}", "line 10: ValueError: log_uniform(0, 0.001): both"),
    (f"{{'{RATE}': interval(2, 1)}}", "the first must be below the second"),
    (f"{{'{RATE}': [1e-4]}}", "log_uniform(low, high), interval(low, high), or a list"),
    (f"{{'{RATE}': 1e-4}}", "log_uniform(low, high), interval(low, high), or a list"),
    (f"{{'{RATE}': [1e-4, 1e-4]}}", "has a value twice"),
    ("{'seed': [1, 2]}", "seed is no field to tune"),
    ("{'algorithm.beta': interval(-1, 1)}", "dpo-a with algorithm.beta=-1"),
    ("{'steps': interval(0.5, 2)}", "steps=0.5"),
    ("['seed']", "get_tuning() returned list, not a dict"),
    ("{'algorithm.clip_low': [0.1, 0.2]}", "nothing is tuned for dpo-a, dpo-b"),
  ],
)
def test_what_is_no_space_is_refused(of, tuning, answer):
  with pytest.raises(UserError, match="mine.py|no field to tune") as refused:
    of(tuning)
  assert answer in str(refused.value)


@pytest.mark.parametrize(
  ("text", "answer"),
  [
    ("0..1e-3:log", "both must be above 0"),
    ("1e-3..1e-4", "the first must be below the second"),
    ("1e-4", "a range such as --tune.optimizer.learning_rate=5e-5..1e-3:log"),
    ("a..b", "LOW..HIGH, or LOW..HIGH:log"),
    ("1e-4..1e-3:lgo", "LOW..HIGH, or LOW..HIGH:log"),
  ],
)
def test_what_is_typed_is_refused_as_it_was_typed(of, text, answer):
  with pytest.raises(UserError) as refused:
    of("{}", optimizer__learning_rate=text)
  assert f"--tune.{RATE}={text}: " in str(refused.value) and answer in str(refused.value)


def test_without_a_space_there_is_nothing_to_tune(of):
  with pytest.raises(UserError, match="has no get_tuning"):
    of("{}")


@pytest.mark.parametrize(
  "domain", [log_uniform(5e-05, 0.001), interval(0.1, 0.5), [0.1, 2, "auto"]]
)
def test_a_domain_is_said_as_one_would_type_it(of, domain):
  assert space.spoken(domain) == space.spoken(space.as_json(domain))
  assert space._typed("x", space.spoken(domain)) == domain
