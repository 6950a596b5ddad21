"""A sweep is worked out, named and checked before anything runs."""

import os
import subprocess
import sys

import pytest

from experiments.sweeping import plan, plan_table
from training.errors import UserError


@pytest.fixture
def make(tmp_path):
  """Plans a sweep of these items, in a folder of its own."""

  def make_plan(*items, **common):
    file = tmp_path / "mine.py"
    file.write_text(f"def get_sweep():\n  return {list(items)!r}\n")
    common = {key.replace("__", "."): value for key, value in common.items()}
    return plan.make(str(file), common, str(tmp_path / "out"))

  return make_plan


def dpo(**fields):
  return {"config": "configs/dpo.py"} | {key.replace("__", "."): v for key, v in fields.items()}


def names(sweep):
  return [run.name for run in sweep.runs]


def test_the_default_sweep_plans_equal_budgets_in_runs_quick():
  sweep = plan.make("configs/sweeps/quick.py", {})
  assert sweep.folder == os.path.join("runs", "quick")
  assert len({run.rollouts for run in sweep.runs}) == 1
  assert min(sum(r.variant == run.variant for r in sweep.runs) for run in sweep.runs) >= 3


def test_planning_does_not_import_jax():
  code = (
    "import sys; from experiments import sweep; from experiments.sweeping import plan;"
    "plan.make('configs/sweeps/quick.py', {}); sys.exit('jax' in sys.modules)"
  )
  assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_names_hold_only_what_tells_the_runs_apart(make):
  sweep = make(
    dpo(algorithm__beta=0.1, batch_prompts=32),
    dpo(algorithm__beta=0.2, batch_prompts=32),
    {"config": "configs/grpo.py:k=8", "batch_prompts": 16},
  )
  assert names(sweep) == ["dpo-beta0.1-s0", "dpo-beta0.2-s0", "grpo-k8-s0"]


def test_of_fields_that_vary_together_one_is_in_the_name(make):
  sweep = make(*(dpo(group_size=k, batch_prompts=64 // k) for k in (2, 8)))
  assert names(sweep) == ["dpo-k2-s0", "dpo-k8-s0"]


def test_runs_that_differ_only_in_their_seed_share_a_variant(make):
  sweep = make(dpo(seed=0), dpo(seed=1))
  assert names(sweep) == ["dpo-s0", "dpo-s1"]
  assert {run.variant for run in sweep.runs} == {"dpo"}


def test_an_item_may_name_its_variant(make):
  sweep = make(
    dpo(name="DPO, online", source="online"),
    dpo(name="DPO, offline", source="offline"),
  )
  assert names(sweep) == ["DPO_online-s0", "DPO_offline-s0"]
  assert sweep.runs[0].variant == "DPO, online"
  assert "name" not in sweep.runs[0].overrides


def test_what_is_common_to_all_is_in_the_headline_and_not_in_the_names(make):
  sweep = make(dpo(algorithm__beta=0.1), dpo(algorithm__beta=0.2), steps="7")
  assert names(sweep) == ["dpo-beta0.1-s0", "dpo-beta0.2-s0"]
  assert {run.config["steps"] for run in sweep.runs} == {7}
  assert "all with steps=7" in plan_table.headline(sweep, sweep.runs, [])


def test_the_command_line_beats_the_item_and_what_becomes_equal_runs_once(make):
  sweep = make(dpo(seed=0), dpo(seed=1), seed="5")
  assert names(sweep) == ["dpo-s5"]
  assert sweep.repeats == ["dpo-s5"]
  assert "items that repeat another: 1 (of dpo-s5)" in plan_table.headline(sweep, sweep.runs, [])


def test_two_configs_of_one_name_are_refused(make):
  with pytest.raises(UserError, match="different configs would share the name mine-s0"):
    make(dpo(name="mine", algorithm__beta=0.1), dpo(name="mine", algorithm__beta=0.2))


def test_the_problems_of_all_items_come_at_once_and_equal_ones_once(make):
  items = [dpo(algorithm__bta=0.2, seed=seed) for seed in range(5)]
  with pytest.raises(UserError) as caught:
    make(*items, dpo(steps="many"), dpo())
  message = str(caught.value)
  assert "6 of 7 items have problems; nothing was run" in message
  assert message.count("bta") == 1 and "items 0, 1, 2 and 2 more" in message
  assert "item 5" in message and "steps" in message


def test_semantic_problems_are_found_too(make):
  with pytest.raises(UserError, match="group_size"):
    make({"config": "configs/grpo.py:k=1"})


def write(run, state, config=None):
  digest = run.digest if config is None else "another"
  run.folder.create(config or run.config, digest=digest, config_file=run.config_file)
  run.folder.write_status(state, step=3, steps=80)


def test_runs_know_what_is_in_their_folders(make):
  items = [dpo(seed=seed) for seed in range(3)]
  before = make(*items)
  write(before.runs[0], "finished")
  write(before.runs[1], "stopped")
  assert [run.state for run in make(*items).runs] == ["finished", "resume", "new"]


def test_a_folder_with_another_config_is_refused_by_name_and_difference(make):
  run = make(dpo()).runs[0]
  old = run.config | {"algorithm": run.config["algorithm"] | {"beta": 0.7}}
  write(run, "finished", old)
  sweep = make(dpo())
  assert sweep.runs[0].state == "changed"
  with pytest.raises(UserError, match=r"dpo-s0 holds a run of another config \(algorithm.beta 0.7"):
    plan.refuse_changed(sweep.runs)


def test_finished_runs_stay_while_a_loss_is_only_better_described(make, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  mine = tmp_path / "mine_swept.py"
  mine.write_text("def f(logps, mask):\n  return logps.sum(), {}\n")
  items = [dpo(seed=0), {"config": "configs/grpo.py", "algorithm.loss": "mine_swept:f"}]
  for run in make(*items).runs:
    about = {"digest": run.digest, "digests": run.digests, "config_file": run.config_file}
    run.folder.create(run.config, **about)
    run.folder.write_status("finished", step=80, steps=80)
  mine.write_text('def f(logps, mask):\n  """Mine."""\n  return logps.sum(), {}\n\nBESIDE = 1\n')
  assert [run.state for run in make(*items).runs] == ["finished", "finished"]
  mine.write_text("def f(logps, mask):\n  return -logps.sum(), {}\n")
  sweep = make(*items)
  assert [run.state for run in sweep.runs] == ["finished", "changed"]
  with pytest.raises(UserError) as refused:
    plan.refuse_changed(sweep.runs)
  assert str(refused.value) == (
    f"{sweep.runs[1].folder.path} holds a run of this config, made before the loss `mine_swept:f` "
    "(mine_swept.py) changed\ngive the sweep another --out, or delete that folder"
  )


def test_a_run_that_a_live_process_is_training_is_refused(make):
  write(make(dpo()).runs[0], "running")
  with pytest.raises(UserError, match=f"is being trained by process {os.getpid()}"):
    plan.refuse_running(make(dpo()).runs)


def test_the_command_trains_the_same_run_alone(make):
  run = make(dpo(task__options="min_word_len=3", seed=2)).runs[0]
  assert run.command == (
    "python -m experiments.train --config=configs/dpo.py "
    f"--config.task.options=min_word_len=3 --config.seed=2 --group=mine --out={run.folder.path}"
  )


def test_demonstrations_are_no_rollouts(make):
  assert make({"config": "configs/sft.py"}).runs[0].rollouts == 0


def test_the_plan_is_a_table_with_budgets(make, capsys):
  sweep = make(dpo(algorithm__beta=0.1), dpo(algorithm__beta=0.2))
  plan_table.show(sweep, sweep.runs, [])
  out = capsys.readouterr().out
  assert "beta" in out and "7,168" in out and "≤ 57,344" in out and "2 to do" in out
  assert "warning" not in out


def test_unequal_budgets_are_said_in_words(make):
  grpo = "configs/grpo.py:k=8"
  sweep = make(
    {"name": "many", "config": grpo, "seed": 0},
    {"name": "many", "config": grpo, "seed": 1},
    {"name": "few", "config": grpo, "batch_prompts": 16},
    {"name": "demonstrations", "config": "configs/sft.py"},  # generates nothing to train on
  )
  warning = plan_table.unequal(sweep.runs)
  assert warning.startswith("warning: ")
  assert "  7,168: many\n  3,584: few" in warning and "demonstrations" not in warning


def test_columns_of_fields_with_one_name_say_which(make, capsys):
  sweep = make(dpo(eval__every=10, checkpoint__every=10), dpo(eval__every=20, checkpoint__every=20))
  plan_table.show(sweep, sweep.runs, [])
  out = capsys.readouterr().out
  assert "eval.every" in out and "checkpoint.every" in out


def test_a_name_for_runs_that_differ_in_more_than_seeds_is_refused(make):
  items = [dict(dpo(seed=i, algorithm__beta=0.1 * (i + 1)), name="mine") for i in range(3)]
  with pytest.raises(UserError, match=r"runs named mine differ in algorithm.beta; nothing was run"):
    make(*items)
