"""Data sets of texts, from a file to what a run trains on and is evaluated by."""

import json
import os
import random

import numpy as np
import pytest

from tasks import build
from tests.tasks.datasets.test_text_groups import TOKENIZER
from tests.training.small_configs import SMALL_MODEL
from training import assembly, base_policy, offline_data, ranking, run
from training.build import parts_of
from training.checking import config_files, digests, text_summary, text_tasks, validate
from training.compiled import compiled_log_probs
from training.errors import UserError
from training.records.run_folder import RunFolder

LETTERS = "abcdefghij"
SMALL = {
  "task.name": "groups",
  "task.reward": "none",
  "task.train_prompts": 64,
  "task.eval_prompts": 6,
  "source": "offline",
  "base.steps": 0,
  "steps": 12,
  "batch_prompts": 8,
  "group_size": 2,
  "eval.every": 12,
  "eval.samples": 1,
  "sampling.max_tokens": 5,
  "optimizer.learning_rate": 3e-3,
  **SMALL_MODEL,
  "wandb.mode": "disabled",
}


def prompts(n=24):
  draw = random.Random(0)
  return ["".join(draw.choices(LETTERS, k=6)) for _ in range(n)]


def pairs(n=24):
  """The better response is in capitals, whatever the prompt."""
  draw = random.Random(1)
  words = ["".join(draw.choices(LETTERS, k=3)) for _ in range(2 * n)]
  return [
    {"prompt": prompt, "chosen": words[i].upper(), "rejected": words[n + i]}
    for i, prompt in enumerate(prompts(n))
  ]


def write(path, rows):
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))
  return str(path)


def load(path, config="configs/dpo.py", check=True, **overrides):
  overrides = {key.replace("__", "."): value for key, value in overrides.items()}
  found = config_files.load(config, SMALL | {"task.data": path} | overrides)
  if check:
    validate.check(found)
  return found


def trained_on(config):
  data = text_tasks.groups_of(config)
  assert data is not None
  return data.train


def all_rows_of(config):
  rows = trained_on(config)
  return rows.rows(range(len(rows)))


def used(config):
  data = text_tasks.groups_of(config)
  assert data is not None
  return text_tasks.groups_of_run(config, data)


def train(config, folder):
  run_folder = RunFolder(str(folder / "run"))
  run_folder.create(config.to_dict(), digest="", config_file="")
  assembly.train(config, run_folder, str(folder), lambda row: None)
  return run_folder.read_metrics()


# --- what a run trains on and is evaluated by ---------------------------------------------------


def test_dpo_on_pairs_learns_what_people_prefer_of_other_prompts(tmp_path):
  path = write(tmp_path / "pairs.jsonl", pairs())
  rows = train(load(path, steps=25, eval__every=25, algorithm__beta=0.5), tmp_path)
  before, after = rows[0], rows[-1]
  assert before["eval/implied_accuracy"] == 0.5 and before["eval/implied_margin"] == 0
  assert after["eval/implied_accuracy"] > 0.9 and after["eval/implied_margin"] > 0
  assert after["eval/logp_accuracy"] > before["eval/logp_accuracy"]
  assert 0 <= after["eval/implied_accuracy_ci95"] < 0.3
  assert after["eval/kl"] > 0 and "eval/reward" not in after
  assert after["rollouts"] == 2 * 18  # every pair, once
  told = (tmp_path / "run" / "data.txt").read_text()
  assert "18 groups, K=2, of 18 prompts" in told and "held out: 6 prompts" in told


def test_one_row_is_shown_as_the_model_sees_it(tmp_path):
  config = load(write(tmp_path / "pairs.jsonl", pairs()))
  told = text_summary.describe(config)
  at = next(i for i, line in enumerate(told) if "as the model sees it" in line)
  row = used(config).rows[0]
  assert told[at].startswith(f"{row.where}, as")
  assert told[at + 1] == f'  6 tokens, not trained on: "{row.prompt}"'
  assert told[at + 2 : at + 4] == [
    f'  4 tokens, score 1: "{row.responses[0]}<end>"',
    f'  4 tokens, score 0: "{row.responses[1]}<end>"',
  ]
  questions_path = write(tmp_path / "q.jsonl", questions())
  config = load(questions_path, task__name="questions", task__reward="numeric", source="online")
  data = text_tasks.data_of_task(config)
  assert data is not None
  row = text_tasks.rows_of_task(config, data)[0]
  told = text_summary.describe(config)
  assert told[0] == f"{row.where}, as the model sees it, answer {row.answer!r}:"
  assert told[1] == f"  {len(row.prompt)} tokens: {row.prompt!r}"


def test_a_run_uses_some_of_many_rows_and_more_steps_go_on_to_others(tmp_path):
  path = write(tmp_path / "pairs.jsonl", pairs(60))
  few, more = load(path, steps=2), load(path, steps=4)
  first, second = used(few), used(more)
  assert len(first) == 16 and len(second) == 32
  assert {row.where for row in first.rows} < {row.where for row in second.rows}
  assert (
    "54 groups, K=2, of 54 prompts; the run trains on 16 of them" in text_summary.describe(few)[0]
  )
  some = text_summary.describe(load(path, task__train_prompts=20))[0]
  assert some == "20 groups, K=2, of 20 of 54 prompts (task.train_prompts)"
  assert text_summary.describe(load(path, task__train_prompts=0, steps=50))[0] == (
    "54 groups, K=2, of 54 prompts"
  )


def test_a_finished_run_is_found_before_its_rows_are_read(tmp_path, monkeypatch):
  path = write(tmp_path / "pairs.jsonl", pairs())
  config, folder = (
    load(path, steps=1, eval__every=1, optimizer__schedule="constant"),
    tmp_path / "r",
  )
  first = run.train(config, str(folder), root=str(tmp_path))
  assert first.state == "finished"
  monkeypatch.setattr(text_tasks, "_load", None)
  assert run.train(config, str(folder), root=str(tmp_path)).latest_step == 1
  assert run.is_finished(config, str(folder))
  longer = load(path, check=False, steps=2, eval__every=1, optimizer__schedule="constant")
  assert not run.is_finished(longer, str(folder))
  write(tmp_path / "pairs.jsonl", pairs(25))
  assert not run.is_finished(config, str(folder))


def test_a_reward_model_learns_from_the_pairs_of_a_file(tmp_path):
  path = write(tmp_path / "pairs.jsonl", pairs())
  settings = {"optimizer.learning_rate": 1e-2, "batch_prompts": 8, "group_size": 2, "steps": 20}
  settings["eval.samples"] = 2  # what a reward model is evaluated on elsewhere
  config = config_files.load("configs/reward_model.py", SMALL | {"task.data": path} | settings)
  validate.check(config)
  rows = train(config, tmp_path)
  assert rows[-1]["eval/accuracy"] > 0.9 and rows[-1]["eval/gap"] > rows[0]["eval/gap"]


@pytest.fixture(scope="module")
def groups(tmp_path_factory):
  """(path, rows): of three, two and four responses, some of them with log-probs."""
  rows = []
  for i, prompt in enumerate(prompts()):
    k = 2 + i % 3
    row = {"prompt": prompt, "responses": ["AB", "cd", "ef", "GH"][:k]}
    row |= {"scores": [1, 0, None, 0.5][:k]}
    rows.append(row | ({"logps": [[-float(i), -1, -1]] * k} if i % 2 else {}))
  return write(tmp_path_factory.mktemp("groups") / "groups.jsonl", rows), rows


def source(path, tmp_path, config="configs/off_policy_grpo.py", **overrides):
  found = load(path, config, group_size=3, **overrides)
  parts = parts_of(found)
  base = base_policy.starting_params(found, parts, str(tmp_path), print)
  return parts, base, offline_data.source_of(parts, base, str(tmp_path), print)


def test_old_log_probs_are_the_rows_own_or_else_the_base_policys(groups, tmp_path):
  path, rows = groups
  parts, base, offline = source(path, tmp_path)
  batch = offline.collect(0, base).groups
  computed = np.asarray(compiled_log_probs(parts.model, parts.mesh)(base, batch, 1.0)[0])
  by_prompt = {row["prompt"]: row for row in rows}
  kinds = set()
  for n in range(len(batch.rewards)):
    row = by_prompt[TOKENIZER.decode(batch.prompts[n][batch.prompt_mask[n]])]
    expected = computed[n]
    if "logps" in row:
      expected = np.where(batch.mask[n], np.array([*row["logps"][0], 0, 0]), 0)
    np.testing.assert_allclose(batch.old_logps[n][batch.mask[n]], expected[batch.mask[n]])
    kinds.add(("logps" in row, len(row["responses"])))
  assert {known for known, _ in kinds} == {True, False} and len({k for _, k in kinds}) == 3
  told = "\n".join(text_summary.describe(parts.config))
  own = sum("logps" in by_prompt[row.prompt] for row in all_rows_of(parts.config))
  assert f"old_logps are the base policy's ({own} groups have their own)" in told and 0 < own < 18


def test_groups_of_any_size_train(groups, tmp_path):
  path, _ = groups
  for name, rank in (
    ("configs/off_policy_grpo.py", 0),
    ("configs/off_policy_grpo.py", 2),  # its log-probs are those without adapters
    ("configs/plackett_luce_dpo.py", 0),
  ):
    folder = tmp_path / f"{os.path.basename(name)}-{rank}"
    numbers = {"steps": 3, "eval__every": 3, "model__lora_rank": rank}
    rows = train(load(path, name, group_size=3, **numbers), folder)
    assert np.isfinite(rows[-1]["train/loss"]) and rows[-1]["train/unscored"] > 0


@pytest.mark.parametrize("name", ["groups", "questions"])
def test_a_response_that_was_cut_keeps_its_score(tmp_path, name):
  """Also where an unfinished response of the policy's own is worth nothing."""
  rows = [{"prompt": p, "chosen": "A" * 20, "rejected": "b"} for p in prompts()]
  path = write(tmp_path / "long.jsonl", rows)
  overrides = {"sampling__max_tokens": 8}
  if name == "questions":
    overrides |= {"task__name": name, "task__reward": "numeric", "offline__dataset": path}
    path = write(tmp_path / "q.jsonl", questions())
  parts = parts_of(load(path, **overrides))
  base = base_policy.starting_params(parts.config, parts, str(tmp_path), print)
  batch = offline_data.source_of(parts, base, str(tmp_path), print).collect(0, None).groups
  assert (np.sort(batch.rewards, axis=1) == [0, 1]).all() and batch.mask.all(axis=-1).any()


@pytest.mark.parametrize("name", ["kto", "sft"])
def test_rows_of_one_response_train(tmp_path, name):
  rows = [
    {"prompt": row["prompt"], "completion": row["chosen" if i % 2 else "rejected"]}
    | ({"label": bool(i % 2)} if name == "kto" else {"source": "x"})
    for i, row in enumerate(pairs())
  ]
  path = write(tmp_path / "single.jsonl", rows)
  numbers = {"group_size": 1, "steps": 2, "eval__every": 2, "source": "offline"}
  metrics = train(load(path, f"configs/{name}.py", **numbers), tmp_path)
  assert np.isfinite(metrics[-1]["train/loss"]) and metrics[-1]["rollouts"] == 16
  told = (tmp_path / "run" / "data.txt").read_text()
  assert "16 groups of one response, of which no pair is made" in told
  assert ("not read, and in how many rows: source (24)" in told) == (name == "sft")


def test_losses_that_compare_refuse_rows_of_one_response(tmp_path):
  rows = [{"prompt": p, "completion": p.upper(), "label": p < "e"} for p in prompts()]
  path = write(tmp_path / "single.jsonl", rows)
  assert "'dpo' compares the responses to a prompt, and the rows of" in problem(path)
  with pytest.raises(UserError, match="'sft' imitates every response of .*, the bad ones as well"):
    load(path, "configs/sft.py", group_size=1)
  assert len(trained_on(load(path, "configs/kto.py", group_size=1))) == 18


def test_columns_are_named_in_the_config(tmp_path):
  rows = [{"q": p, "win": "A", "lose": "b", "tools": [1], "id": i} for i, p in enumerate(prompts())]
  path = write(tmp_path / "named.jsonl", rows)
  assert "--config.data.chosen=win reads 'win' as it" in problem(path)
  named = {"data__prompt": "q", "data__chosen": "win", "data__rejected": "lose"}
  assert "all 24 rows: 'tools' belongs to the prompt" in problem(path, **named)
  config = load(path, data__ignore="tools", **named)
  assert {row.responses for row in all_rows_of(config)} == {("A", "b")}
  assert "not read, and in how many rows: tools (24), id (24)" in "\n".join(
    text_summary.describe(config)
  )
  # other names are other rows, of a file that is the same
  assert (
    digests.of_run(config)["digest"] != digests.of_run(load(path, **named, check=False))["digest"]
  )
  swapped = named | {"data__chosen": "lose", "data__rejected": "win", "data__ignore": "tools"}
  assert all_rows_of(load(path, **swapped))[0].responses == ("b", "A")


def test_a_batch_of_more_groups_than_there_are_is_told(tmp_path):
  path = write(tmp_path / "few.jsonl", pairs(8))
  told = "\n".join(text_summary.describe(load(path)))
  assert "2 groups for batch_prompts=8: each is in a batch more than once" in told


def test_accuracy_is_a_mean_over_prompts_of_their_pairs():
  config = {"responses": ["a", "b"], "scores": [1, 0]}
  rows = [{"prompt": "p"} | config, {"prompt": "p"} | config, {"prompt": "q"} | config]
  from tasks.datasets import text_groups
  from tasks.rows import row_spellings

  groups, _ = text_groups.tokenize(
    [row_spellings.parse(row, "") for row in rows],
    TOKENIZER,
    group_size=2,
    max_tokens=3,
    max_prompt_tokens=3,
  )
  prompts = [row.prompt for row in groups.rows]
  values = np.array([[2.0, 1.0], [1.0, 2.0], [3.0, 3.0]])
  assert ranking.by_prompt(prompts, groups.rewards, values, ranking.right) == [0.5, 0.5]
  assert ranking.by_prompt(prompts, groups.rewards, values, lambda gaps: gaps) == [0, 0]
  values[1] = [5, 2]
  assert ranking.by_prompt(prompts, groups.rewards, values, ranking.right) == [1, 0.5]


# --- prompts with answers -----------------------------------------------------------------------


def questions(n=30):
  return [{"question": f"{i}+1=", "answer": f"{i + 1}"} for i in range(n)]


def test_a_file_of_questions_is_a_task(tmp_path):
  path = write(tmp_path / "q.jsonl", questions())
  config = load(
    path, "configs/grpo.py", source="online", task__name="questions", task__reward="numeric"
  )
  task = parts_of(config).task
  assert len(task.train) == 24 and len(task.evaluation) == 6
  assert not {item.prompt for item in task.train} & {item.prompt for item in task.evaluation}
  item = task.train[0]
  right = np.array([[[*TOKENIZER.encode(f"={item.answer}."), TOKENIZER.eos_id]]])
  assert task.rewards([item], right, np.array([[True]])).tolist() == [[1]]
  assert task.rewards([item], right[..., :1], np.array([[True]])).tolist() == [[0]]


def test_gsm8k_is_read_where_it_was_built_and_evaluated_on_its_test_split(tmp_path, capsys):
  for name, n in (("train", 20), ("test", 8)):
    rows = [{"question": f"{name} {i}?", "answer": f"So it is.\n#### {i:,}"} for i in range(n)]
    write(tmp_path / f"{name}.jsonl", rows)
  data = str(tmp_path / "data")
  settings = {"source": "online", "task__name": "gsm8k", "task__reward": "numeric"}
  settings |= {"data__dir": data, "sampling__max_tokens": 8}
  with pytest.raises(UserError, match="python -m tasks.build gsm8k"):
    load("", "configs/grpo.py", **settings)
  assert build.main(["gsm8k", f"--manual_dir={tmp_path}", f"--data_dir={data}"]) == 0
  config = load("", "configs/grpo.py", **settings)
  task = parts_of(config).task
  assert len(task.train) == 20 and len(task.evaluation) == 6
  assert all("test" in str(item.prompt) for item in task.evaluation)
  # a rebuilt source is another experiment
  digest = digests.of_run(config)["digest"]
  write(tmp_path / "train.jsonl", [{"question": "new?", "answer": "Yes.\n#### 1"}] * 1)
  assert build.main(["gsm8k", f"--manual_dir={tmp_path}", f"--data_dir={data}"]) == 0
  assert digests.of_run(config)["digest"] != digest


def test_held_out_questions_are_not_trained_on_through_a_data_set(tmp_path):
  path = write(tmp_path / "q.jsonl", questions())
  group = {"responses": ["1", "2"], "scores": [1, 0]}
  rows = [{"prompt": row["question"]} | group for row in questions()]
  settings = {"task__name": "questions", "task__reward": "numeric", "check": False}
  settings |= {"offline__dataset": write(tmp_path / "groups.jsonl", rows)}
  with pytest.raises(UserError, match=r"6 rows of .*groups.jsonl have prompts that are held out"):
    validate.check(load(path, **settings))


# --- what cannot be -----------------------------------------------------------------------------


def problem(path, **overrides):
  with pytest.raises(UserError) as error:
    load(path, **overrides)
  return str(error.value)


@pytest.mark.parametrize(
  "scores, message",
  [
    (
      (4, 2),
      "all 48 scores are above it, so that no response is undesirable; "
      "--config.algorithm.threshold=3 splits them, 24 above and 24 below",
    ),
    ((0.2, 0.1), "all 48 scores are at or below it, so that no response is desirable; "),
    ((3, 3), "all 48 scores are above it, and all are 3: nothing tells desirable"),
  ],
)
def test_a_threshold_with_all_scores_on_one_side_is_refused(tmp_path, scores, message):
  rows = [{"prompt": p, "responses": ["A", "b"], "scores": scores} for p in prompts(30)]
  path = write(tmp_path / "scored.jsonl", rows)
  assert f"algorithm.threshold=0.5: {message}" in problem(path, config="configs/kto.py")
  load(path, "configs/dpo.py")
  if scores == (4, 2):
    load(path, "configs/kto.py", algorithm__threshold=3.0)


def test_negative_scores_are_refused_where_a_loss_divides_by_their_mean(tmp_path):
  rows = [{"prompt": p, "responses": ["A", "b"], "scores": (1, -2)} for p in prompts(30)]
  path = write(tmp_path / "scored.jsonl", rows)
  said = problem(path, config="configs/grpo.py", algorithm__loss="maxrl", source="offline")
  assert "so no score may be negative; -2 is" in said


def test_weights_out_of_balance_are_described(tmp_path):
  path = write(tmp_path / "pairs.jsonl", pairs())
  one = text_summary.describe(load(path, "configs/kto.py", algorithm__desirable_weight=1.0))
  three = text_summary.describe(load(path, "configs/kto.py"))
  line = "18 desirable responses (score above 0.5), 18 undesirable"
  assert line in one
  assert any(
    found.startswith(f"{line}; algorithm.desirable_weight=3 makes") and "1 would make" in found
    for found in three
  )
  config = config_files.load("configs/tasks/preferences.py:algorithm=kto,data=x.jsonl")
  assert config.algorithm.desirable_weight == 1


@pytest.mark.parametrize("answer", [r"1 - \sqrt{2}", "(1, 2)", "3 4", "40 or 41", "none"])
def test_an_answer_that_the_reward_cannot_tell_is_said_before_anything_loads(tmp_path, answer):
  rows = questions()
  rows[3]["answer"] = answer
  path = write(tmp_path / "q.jsonl", rows)
  settings = {"source": "online", "task__name": "questions", "task__reward": "numeric + 0.1*format"}
  with pytest.raises(UserError) as error:
    validate.check(load(path, "configs/grpo.py", check=False, **settings))
  said = "task.reward='numeric + 0.1*format': numeric cannot tell 1 of the answers: the answer "
  assert f"{said}{answer!r}" in str(error.value)
  load(path, "configs/grpo.py", data__skip_bad_rows=True, **settings)
  load(path, "configs/grpo.py", **settings | {"task__reward": "exact"})


def test_bad_rows_are_said_together_and_can_be_skipped(tmp_path):
  rows = pairs()
  rows[2]["chosen"] = rows[2]["rejected"]
  rows[5]["prompt"] = "p" * 600
  rows[7]["chosen"] = "é"
  path = write(tmp_path / "pairs.jsonl", rows)
  said = problem(path)
  assert "task.data: 3 bad rows in" in said and "--config.data.skip_bad_rows=True" in said
  for row in ("row 3: the two", "row 6: the prompt has 600 tokens", "row 8: the character"):
    assert row in said
  config = load(path, data__skip_bad_rows=True)
  assert len(trained_on(config)) == 15
  assert "3 bad rows left out" in "\n".join(text_summary.describe(config))
  train(load(path, data__skip_bad_rows=True, steps=1, eval__every=1), tmp_path)
  listed = (tmp_path / "run" / "bad_rows.jsonl").read_text().splitlines()
  assert [json.loads(line)["where"] for line in listed] == [
    f"pairs.jsonl row {n}" for n in (3, 6, 8)
  ]


@pytest.mark.parametrize(
  ("path", "overrides", "says"),
  [
    ("", {}, "task.data='': groups needs a file"),
    ("/no/such.jsonl", {}, "task.data='/no/such.jsonl': no such file or folder"),
    ("gsm8k_group", {}, "Did you mean gsm8k_groups"),
    ("configs", {}, "no file of rows is there, and no data set"),
    (None, {"task__eval_prompts": 24}, "24 distinct prompts; with 24 held out none is left"),
    (None, {"task__reward": "exact"}, "groups has no answers for 'exact'; try 'none'"),
    (None, {"source": "online"}, "nothing scores responses to these prompts"),
    (None, {"source": "demonstrations"}, "groups has no answers to learn to write"),
    (None, {"base__steps": 3}, "groups has no answers to learn to write; set it to 0"),
    (None, {"task__options": "a=1"}, "groups has none"),
    (None, {"data__max_prompt_tokens": 0}, "must be at least 1"),
    (None, {"task__name": "questions", "task__reward": "numeric"}, "no 'answer'"),
    (None, {"task__name": "spell_backward"}, "task.reward='none': only task.name='groups'"),
    (None, {"offline__dataset": "/no/such"}, "offline.dataset='/no/such': no such file"),
  ],
)
def test_what_cannot_be_is_said_before_anything_is_loaded(tmp_path, path, overrides, says):
  written = write(tmp_path / "pairs.jsonl", pairs())
  assert says in problem(written if path is None else path, **overrides)


def test_empty_and_cut_off_files_are_said_to_be(tmp_path):
  (tmp_path / "x.jsonl").write_text("")
  assert "the file is empty" in problem(str(tmp_path / "x.jsonl"))
  (tmp_path / "x.parquet").write_bytes(b"PAR1 and not more")
  assert "no whole Parquet file" in problem(str(tmp_path / "x.parquet"))


def test_another_content_is_another_run(tmp_path):
  path = write(tmp_path / "pairs.jsonl", pairs())
  first = digests.of_run(load(path))["digest"]
  assert digests.of_run(load(path))["digest"] == first
  write(tmp_path / "pairs.jsonl", pairs()[:-1])
  assert digests.of_run(load(path))["digest"] != first


@pytest.mark.parametrize("name", ["gsm8k", "groups", "preferences"])
def test_the_configs_of_real_data_take_what_they_say(name, tmp_path):
  groups = {"data": write(tmp_path / "pairs.jsonl", pairs())} if name != "gsm8k" else {}
  arguments = ",".join(f"{k}={v}" for k, v in ({"algorithm": "dpo", "model": "x"} | groups).items())
  config = config_files.load(f"configs/tasks/{name}.py:{arguments}", {})
  assert (config.algorithm.loss, config.model.pretrained) == ("dpo", "x")
  assert config.base.steps == 0
