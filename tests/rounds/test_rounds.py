"""The parts of a round: who prefers what, whether it is deployed, how stale its data is."""

import json
import os

import numpy as np
import pytest
from scipy.stats import ttest_rel

from comparing import comparison, rounds
from experiments import report
from rounds import deployment, one_round
from rounds.deployment import Deployment
from rounds.not_worse import not_worse
from rounds.simulated_user import agreement, simulated_user
from rounds.staleness import staleness
from training.checking import config_files, validate
from training.errors import UserError
from training.records.files import write_json

NAN = float("nan")


def pairs(first, second, n=1):
  return np.tile(np.array([[first, second]], np.float32), (n, 1))


# --- judges ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("difference", [1.0, 0.3, -0.3])
def test_a_simulated_user_prefers_as_bradley_and_terry_say(difference):
  n, temperature = 20_000, 0.5
  scores = simulated_user(
    pairs(difference, 0, n), np.random.default_rng(0), temperature=temperature, noise=0.0
  )
  expected = 1 / (1 + np.exp(-difference / temperature))
  assert scores[:, 0].mean() == pytest.approx(expected, abs=4 * np.sqrt(0.25 / n))
  assert (scores.sum(axis=1) == 1).all()


def test_at_temperature_0_the_better_one_is_preferred_but_for_the_noise():
  rng = np.random.default_rng(0)
  sure = simulated_user(pairs(0.1, 0, 100), rng, temperature=0.0, noise=0.0)
  assert (sure == [1, 0]).all()
  noisy = simulated_user(pairs(0.1, 0, 20_000), rng, temperature=0.0, noise=0.3)
  assert noisy[:, 1].mean() == pytest.approx(0.3, abs=0.015)


def test_equal_and_unscored_responses_are_ties():
  rewards = np.concatenate([pairs(1, 1, 50), pairs(NAN, 0, 50)])
  for temperature in (0.0, 1.0):
    scores = simulated_user(rewards, np.random.default_rng(0), temperature, noise=0.5)
    assert (scores == 0).all()


def test_agreement_counts_preferences_of_unequal_rewards_and_ties_apart():
  rewards = np.array([[1, 0], [0, 1], [1, 0], [1, 1]], np.float32)
  scores = np.array([[1, 0], [1, 0], [0, 0], [1, 0]], np.float32)
  assert agreement(scores, rewards) == {"ties": 0.25, "agreement": 0.5}
  assert agreement(scores[3:], rewards[3:]) == {"ties": 0.0, "agreement": None}


# --- the test -------------------------------------------------------------------------------------


def test_the_verdict_is_a_paired_t_test_of_the_prompts_means():
  rng = np.random.default_rng(1)
  old = rng.normal(size=(40, 3))
  new = old + rng.normal(-0.1, 0.4, size=(40, 3))
  found = not_worse(new, old, level=0.05)
  scipy = ttest_rel(new.mean(axis=1), old.mean(axis=1), alternative="less")
  assert found.p_worse == pytest.approx(scipy.pvalue, rel=1e-9)
  assert found.difference == pytest.approx((new - old).mean())
  assert found.passed == (scipy.pvalue >= 0.05)
  assert not not_worse(new, old, level=0.5).passed  # the mean difference is negative
  assert not_worse(old, new, level=0.5).passed


def test_a_policy_that_is_the_same_passes_and_one_that_cannot_be_scored_does_not():
  same = np.ones((4, 2))
  assert not_worse(same, same, level=0.5).passed
  assert not not_worse(same - 0.1, same, level=0.05).passed
  unscored = np.full((4, 2), NAN)
  assert not not_worse(unscored, same, level=0.05).passed
  one_missing = np.array([[1, NAN], [NAN, NAN], [0, 1], [1, 1]])
  assert not_worse(one_missing, np.zeros((4, 2)), level=0.05).prompts == 3


# --- staleness ------------------------------------------------------------------------------------


def test_staleness_by_hand():
  # w = 1, 3: mean 2, (1 + 3)^2 / (2 * (1 + 9)) = 0.8
  found = staleness(np.log([1.0, 3.0]))
  assert found == pytest.approx({"ratio_mean": 2, "ratio_max": 3, "effective_share": 0.8})
  assert staleness(np.zeros(5))["effective_share"] == 1
  assert staleness(np.array([900.0, 0.0]))["effective_share"] == pytest.approx(0.5)


# --- the folder -----------------------------------------------------------------------------------


def finish(home, number, deployed, reward):
  """A round's files as the steps leave them, without its checkpoint."""
  round_ = home.round(number)
  data = os.path.join(round_.data_folder, "groups", "1.0.0")
  for name in ("dataset_info.json", deployment.RECIPE):
    recipe = {"rollouts": 10, "group_size": 2, "judge": "user", "agreement": 0.97, "ties": 0.25}
    write_json(os.path.join(data, name), recipe)
  metrics = {"tokens": 100, "seconds": 2.0, "eval/kl": 0.1}
  round_.run.write_status("finished", step=4, steps=4, metrics=metrics)
  values = {"candidate": reward, "deployed": 0.5}
  evaluation = {
    name: {"eval/reward_sampled": value, "eval/kl": value / 10} for name, value in values.items()
  }
  test = {"difference": reward - 0.5, "standard_error": 0.01, "p_worse": 0.4, "prompts": 9}
  stale = {"ratio_mean": 1.0, "ratio_max": 7.5, "effective_share": 0.9}
  round_.write("evaluation.json", evaluation | {"test": test, "staleness": stale})
  round_.write("verdict.json", {"deployed": deployed, "reason": "so"})


@pytest.fixture
def home(tmp_path):
  home = Deployment(str(tmp_path / "home"))
  config = {"source": "rounds", "base": {"run": ""}}
  home.run.create(config, digest="d", config_file="configs/rounds.py")
  return home


def test_what_is_in_service_follows_from_the_verdicts(home):
  assert home.in_service == "" and home.finished == []
  finish(home, 1, True, 0.6)
  finish(home, 2, False, 0.2)
  assert home.in_service == home.round(1).path
  finish(home, 3, True, 0.7)
  assert home.in_service == home.round(3).path
  assert [round_.number for round_ in home.finished] == [1, 2, 3]


def test_a_deployment_reads_as_one_run_of_the_policy_in_service(home):
  finish(home, 1, True, 0.6)
  finish(home, 2, False, 0.2)
  home.write_metrics()
  rows = home.run.read_metrics()
  assert [row["step"] for row in rows] == [0, 4, 8]
  assert [row["rollouts"] for row in rows] == [0, 10, 20]  # a refused round costs as much
  assert [row["eval/reward_sampled"] for row in rows] == [0.5, 0.6, 0.5]
  assert [row.get("round/deployed") for row in rows] == [None, 1, 0]
  assert rows[2]["round/reward_sampled"] == 0.2 and rows[1]["round/kl_to_deployed"] == 0.1


def test_the_report_shows_each_round_and_its_verdict(home):
  finish(home, 1, True, 0.6)
  finish(home, 2, False, 0.2)
  finish(home, 3, False, 0.6)
  os.remove(os.path.join(home.round(3).path, "evaluation.json"))
  home.write_metrics()
  home.run.mark("finished")
  with open(report.write(home.path)) as file:
    page = file.read()
  assert "1 of 3 rounds deployed" in page and "7.500" in page
  assert page.count(">refused<") == 2 and page.count(">deployed<") == 1
  result = comparison.read(home.path)
  twice = comparison.read(home.path, home.path)  # variants of one name are told apart by folder
  assert {table.variant for table in rounds.tables(twice)} == {v.name for v in twice.variants}
  plot = rounds.by_round(result)
  assert plot is not None
  first = plot.figures[""]["data"][0]
  assert first["x"] == [1, 2] and first["y"] == [0.6, 0.2]  # the third diverged
  assert first["marker"]["symbol"] == ["circle", "circle-open"]


def test_a_round_that_diverged_is_refused_and_counted(home):
  finish(home, 1, False, 0.6)
  os.remove(os.path.join(home.round(1).path, "evaluation.json"))
  assert one_round.decide(home.round(1), 0.05, "diverged: loss is nan") == {
    "deployed": False,
    "reason": "diverged: loss is nan",
  }
  home.write_metrics()
  assert home.run.read_metrics()[0]["rollouts"] == 10


def test_one_process_at_a_time(home):
  lock = home.hold()
  with pytest.raises(UserError, match="another process is at work"):
    home.hold()
  os.close(lock)
  os.close(home.hold())


def test_a_folder_without_rounds_is_no_deployment(tmp_path):
  with pytest.raises(UserError, match="is no deployment"):
    Deployment(str(tmp_path)).config  # noqa: B018


# --- the config -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
  ("overrides", "message"),
  [
    ({"rounds.noise": 0.7}, "rounds.noise=0.7: must be from 0 to 0.5"),
    ({"rounds.level": 0.0}, "rounds.level=0.0: must be above 0"),
    ({"group_size": 4}, "group_size=4: rounds.judge='user' prefers one of 2"),
    ({"rounds.groups": 100}, "rounds.groups=100: collected in batches"),
    ({"rounds.judge": "me"}, "rounds.judge='me': choose one of task, user, people"),
    ({"source": "online"}, "source='online': rounds need --config.source=rounds"),
    ({"base.run": "nowhere"}, "base.run='nowhere' is no run's folder"),
  ],
)
def test_what_rounds_cannot_do_is_said_before_they_begin(overrides, message):
  with pytest.raises(UserError, match=message.replace("(", r"\(")):
    validate.check(config_files.load("configs/rounds.py", overrides), recurring=True)


def test_train_sends_rounds_to_their_command():
  with pytest.raises(UserError, match="that is python -m experiments.rounds"):
    validate.check(config_files.load("configs/rounds.py", {}))


def test_a_run_to_start_from_must_be_finished_and_have_the_same_model(home):
  folder = home.round(1).run
  config = json.loads(config_files.load("configs/dpo.py", {}).to_json_best_effort())
  config["model"]["layers"] = 7
  folder.create(config, digest="d", config_file="configs/dpo.py")
  with pytest.raises(UserError) as error:
    validate.check(config_files.load("configs/dpo.py", {"base.run": folder.path}))
  assert "is not started, not finished" in str(error.value)
  assert "has another model: layers 7, here 3" in str(error.value)
