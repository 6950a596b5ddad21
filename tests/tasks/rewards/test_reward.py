"""A task's reward: sums, and functions that misbehave in worker processes."""

import time

import numpy as np
import pytest

from tasks.rewards import REWARDS
from tasks.rewards.function import RewardFunction, place_of
from tasks.rewards.reward import Reward
from tasks.rewards.workers import Workers
from tasks.spelling import parse
from tasks.task import response_of

OWN = "tests.tasks.rewards.own"


def responses(*completions, prompt="p", answer="a", entry=None):
  return [response_of(text, prompt, answer, entry or {"x": "x"}) for text in completions]


def is_alive(pid):
  try:
    with open(f"/proc/{pid}/stat") as file:
      return file.read().rpartition(")")[2].split()[0] != "Z"  # a zombie has ended
  except OSError:  # gone before it is opened, or read
    return False


def rewards_of(text, *completions, seconds=5.0):
  """What one reward gives, and what it warned of."""
  reward = Reward(text, seconds)
  return reward.each(responses(*completions))[:, 0].tolist(), reward.new_faults()


nan = pytest.approx(np.nan, nan_ok=True)


# --- sums ---------------------------------------------------------------------------------------


def test_rewards_are_weighed_and_named():
  reward = Reward(f"exact + 0.5*length(max=3) - 2*{OWN}:politeness('you')")
  parts = reward.each(responses("a", "thank you", "you you"))
  assert reward.names == ("exact", "length", "politeness")
  assert parts.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 2]]
  assert reward.total(parts).tolist() == [1.5, -2, -4]


def test_a_response_is_unscored_where_a_part_that_counts_is():
  parts = np.array([[1, np.nan], [2, 3]], np.float32)
  assert Reward("exact + vader").total(parts).tolist() == [nan, 5]
  assert Reward("exact + 0*vader").total(parts).tolist() == [1, 2]


def test_the_rewards_of_several_tasks_are_summed_where_they_say_something():
  text = f"exact + 0.5*{OWN}:gives"
  sums = [Reward(text, skips_missing=skips) for skips in (False, True)]
  texts = ("a", "none", "nan", "inf", "text")  # 1 + 0.5; then a None, a NaN, and two faults
  each = [reward.each(responses(*texts)) for reward in sums]
  assert sums[0].total(each[0]).tolist() == [1.5, nan, nan, nan, nan]
  assert sums[1].total(each[1]).tolist() == [1.5, 0, 0, nan, nan]
  alone = Reward(f"{OWN}:gives", skips_missing=True)
  assert alone.total(alone.each(responses("none"))).tolist() == [nan]
  looked_at = Reward(f"0*exact + {OWN}:gives", skips_missing=True)
  assert looked_at.total(np.array([[1, np.nan]], np.float32)).tolist() == [nan]


@pytest.mark.parametrize(
  "text, exact, least",
  [
    ("exact", "exact", 0),
    ("0.2*format + numeric + math", "numeric", 0),
    ("vader - 0.5*length(max=3)", "", -0.5),
    (f"{OWN}:politeness", "", 0),
  ],
)
def test_a_sum_knows_which_reward_says_what_is_right_and_what_it_gives_at_least(text, exact, least):
  reward = Reward(text)
  assert (reward.exact, reward.least) == (exact, least)


def test_no_responses_have_no_rewards():
  assert Reward(f"exact + {OWN}:hangs").each([]).shape == (0, 2)


@pytest.mark.parametrize(
  "text, right, wrong",
  [
    ("format", " <think>2+2\n=4</think>\n<answer>4</answer>\n", "<answer>4</answer>"),
    (r"format('.*#### \d+')", "2+2\n#### 4", "2+2\n#### 4 or so"),
    (r"regex('^\d+$')", "so\n12\nit is", "so 12 it is"),
    ("length(max=3)", "abc", "abcd"),
    ("length(min=3, max=9)", "abc", "ab"),
    ("vader", "happy, wonderful!", ""),
    (f"{OWN}:about_all", "c", "d"),
  ],
)
def test_what_rewards_look_at(text, right, wrong):
  found, faults = rewards_of(text, right, wrong)
  assert found[0] > 0.5 >= found[1] and not faults


NONSENSE = ("", "a" * 5000, "1" * 5000, "\0�𝔘\n", "#### " * 900, "((((((" * 9, "<think>" * 99)


def test_math_verify_reads_more_than_numbers_and_its_time_is_limited():
  texts = ("so \\boxed{\\frac{2}{4}}", "it is 0.5", "A: 1/3", "it is $9^{9^{9^{9^9}}}$", *NONSENSE)
  wanted = responses(*texts, answer="$1/2$") + responses("1,080", answer="3*360\n#### 1,080")
  right, decimal, wrong, huge, *nonsense, comma = Reward("math", seconds=5.0).each(wanted)[:, 0]
  assert (right, decimal, wrong, comma) == (1, 1, 0, 1)
  assert huge == 0 or np.isnan(huge)  # whichever of the two gives up first
  assert not any(reward > 0 for reward in nonsense)


@pytest.mark.parametrize(
  "wrong",
  [
    "<think>a</think><answer>b</answer><answer>c</answer>",
    "<think>a</think><think>b</think><answer>c</answer>",
    "<think>a</think><answer>b</answer><think>c</think><answer>d</answer>",
    "<think>a<think>b</think></think><answer>c</answer>",
    "<think>a<answer>b</think></answer>",
    "<think>a</answer><answer>b</think>",
    "<think><answer>a</answer></think><answer>b</answer>",
    "<think>a</think><answer><answer>b</answer></answer>",
    "<answer>a</answer><think>b</think>",
    "<think>a</think>b<answer>c</answer>",
    "<think>a</think><answer>b",
    "a</think><answer>b</answer>",
  ],
)
def test_repeated_nested_and_crossed_tags_have_no_format(wrong):
  assert rewards_of("format", wrong)[0] == [0]


@pytest.mark.parametrize("name", sorted(REWARDS.keys() - {"math"}))
def test_a_reward_of_the_table_gives_nothing_for_nonsense(name):
  options = {"regex": "('x')", "length": "(max=9999, min=6000)"}.get(name, "")
  score = RewardFunction(parse(name + options)[0])
  for response in responses(*NONSENSE, answer="18", entry={}):
    assert not score(response)[0] > 0.5  # 0, neutral, or unscored


def test_answers_that_a_reward_cannot_tell_are_refused():
  answers = ["12", "so 12.\n#### 1,080", r"2\pi", "101_2", "15 6 9"]
  compared, steps = Reward("numeric + math"), Reward("numeric + exact")
  numeric, math = compared.refused(answers)
  assert numeric.startswith(
    r"numeric cannot tell 3 of the answers: the answer '2\\pi' is more than"
  )
  assert math.startswith("math cannot tell 1 of the answers: math-verify reads only '101' of")
  assert compared.refused(answers, quick_only=True) == [numeric]
  assert not steps.refused(["15 6 9"], is_compared=False) and not Reward("exact").refused(answers)
  assert "has several numbers" in steps.refused(["15 6 9"])[0]


# --- functions that misbehave -------------------------------------------------------------------


@pytest.mark.parametrize("name, hang", [("hangs", "hang"), ("backtracks", "a" * 50)])
def test_a_function_that_hangs_is_stopped_and_the_rest_is_scored(name, hang):
  started = time.perf_counter()
  good = "ab"
  found, faults = rewards_of(f"{OWN}:{name}", good, hang, good, hang, good, seconds=2.0)
  assert found == [1, nan, 1, nan, 1]
  assert faults == [f"reward {name} took longer than 2 s. Unscored: {hang!r}"]
  assert time.perf_counter() - started < 20


def test_a_function_that_raises_leaves_the_response_unscored():
  found, faults = rewards_of(f"{OWN}:raises", "", "ab")
  assert found == [nan, 0.5]
  assert faults == ["reward raises raised ZeroDivisionError: division by zero. Unscored: ''"]


def test_a_function_that_takes_its_process_down_is_called_in_another():
  found, faults = rewards_of(f"{OWN}:kills_its_process", "die", "x", "die", "y")
  assert found == [nan, 1, nan, 1]
  assert faults == ["reward kills_its_process ended its process (exit code 3). Unscored: 'die'"]
  assert rewards_of(f"{OWN}:leaves", "x")[0] == [nan]


def test_a_response_whose_process_somebody_killed_is_scored_by_another(tmp_path, monkeypatch):
  """Once: the kernel kills for want of memory, too, and would do so again."""
  monkeypatch.setenv("COUNT_IN", str(tmp_path / "once"))
  found, faults = rewards_of(f"{OWN}:is_killed", "a", "b")
  assert (found, faults) == ([1, 1], [])
  monkeypatch.setenv("COUNT_IN", str(tmp_path / "twice"))
  found, faults = rewards_of(f"{OWN}:is_killed(times=2)", "a")
  assert found == [nan]
  assert faults == ["reward is_killed ended its process (killed). Unscored: 'a'"]


def test_a_process_that_stays_and_answers_no_more_was_not_killed():
  found, faults = rewards_of(f"{OWN}:hangs_up", "a", seconds=20.0)
  assert found == [nan]
  assert faults == [
    "reward hangs_up closed its connection, or answered with too much. Unscored: 'a'"
  ]


def test_after_an_interrupt_no_answer_of_the_call_before_counts(monkeypatch):
  reward = Reward(f"{OWN}:number", 20.0)
  assert reward.each(responses("1", "2"))[:, 0].tolist() == [1, 2]

  def interrupted(workers):
    raise KeyboardInterrupt

  with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
    patch.setattr(Workers, "_hear", interrupted)
    reward.each(responses("slow 7"))
  assert reward.each(responses("3", "4"))[:, 0].tolist() == [3, 4]


def test_what_is_no_finite_number_is_unscored():
  found, faults = rewards_of(f"{OWN}:gives", "text", "inf", "huge", "none", "nan", "true")
  assert found == [nan, nan, nan, nan, nan, 1]
  assert [fault.partition(". Un")[0] for fault in faults] == [  # None is no fault
    "reward gives gave no number: '1.0'",
    "reward gives gave no finite number: inf",
  ]


def test_faults_are_counted_and_said_anew_when_there_are_ten_times_as_many():
  reward = Reward(f"{OWN}:raises")
  reward.each(responses(*[""] * 9))
  assert len(reward.new_faults()) == 1
  reward.each(responses(*[""] * 3))
  assert reward.new_faults() == ["reward raises raised ZeroDivisionError, 10 times by now"]
  assert dict(reward.failures) == {"reward raises raised ZeroDivisionError": 12}


def test_what_a_function_started_ends_with_it(tmp_path):
  path = tmp_path / "pid"
  assert rewards_of(f"{OWN}:starts_a_process", str(path), seconds=2.0)[0] == [nan]
  deadline = time.monotonic() + 60
  while is_alive(int(path.read_text())):
    assert time.monotonic() < deadline
    time.sleep(0.01)


def test_the_child_of_a_function_that_forks_answers_nothing():
  texts = ["x" * n for n in range(12)]
  assert rewards_of(f"{OWN}:forks", *texts)[0] == [float(n) for n in range(12)]


def test_an_answer_of_somebody_else_is_none():
  found, faults = rewards_of(f"{OWN}:answers_for_others", "a", "now", "b", "c")
  assert found.count(0.5) == 3 and sum(map(np.isnan, found)) == 1
  (fault,) = faults
  assert fault.startswith("reward answers_for_others left a process behind that answered for it.")


def test_cheer_takes_no_longer_than_it_may():
  """VADER's time grows with the square of the emoji."""
  started = time.monotonic()
  found, (fault,) = rewards_of("vader", "\N{GRINNING FACE}" * 20_000, "happy", seconds=1.0)
  assert found == [nan, pytest.approx(0.79, abs=0.01)]
  assert "took longer than 1 s" in fault
  assert time.monotonic() - started < 20


def test_workers_score_what_is_scored_here_and_know_no_jax():
  texts = [f"{'please ' * (i % 4)}{i}" for i in range(100)]
  reward, here = Reward(f"{OWN}:politeness"), RewardFunction(parse(f"{OWN}:politeness")[0])
  inline = [here(response)[0] for response in responses(*texts)]
  assert reward.each(responses(*texts))[:, 0].tolist() == inline
  assert reward.each(responses(*texts))[:, 0].tolist() == inline  # again, by the same processes
  assert rewards_of(f"{OWN}:modules", "x")[0] == [0]


# --- functions that cannot be had ---------------------------------------------------------------


@pytest.mark.parametrize(
  "text, message",
  [
    ("exat", "no reward 'exat'. Did you mean exact?"),
    ("judge", "no reward 'judge'. There are exact, numeric, math"),
    ("length(3, mim=2)", "length has no option 'mim'. Did you mean min?"),
    ("length", "length needs max: write length(max=...)"),
    ("length(max='3')", "length: max is int; '3' is not"),
    ("exact(1)", "exact has no option 'options'. It has none."),
    ("regex('(')", "regex: the pattern '(': missing ), unterminated subpattern"),
    (f"{OWN}:temperature_of", "its argument 'temprature' is none that a reward may ask for."),
    (f"{OWN}:any_options", "takes **options: write its arguments and options out"),
    (f"{OWN}:blind", "takes no `completion`, so it cannot score one"),
    (f"{OWN}:impolite", "cannot import tests.tasks.rewards.own:impolite from"),
    ("not_there:f", "ModuleNotFoundError: No module named 'not_there'"),
  ],
)
def test_a_reward_that_cannot_be_had_is_an_error_before_anything_is_scored(text, message):
  with pytest.raises(ValueError) as error:
    Reward(text).open()
  assert message in str(error.value)


def test_names_of_the_table_are_where_it_says():
  assert place_of("exact") == "tasks.rewards.answers:exact_match"
  assert place_of("my.lab:f") == "my.lab:f"
