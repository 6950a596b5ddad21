"""A run on a file of each format of rows: every row is used, by the algorithm that it is for."""

import json
from typing import Any

import jax
import pytest

from models.pretrained import exporting
from models.transformer import ModelConfig, init
from tests.tasks.rows.test_formats import FORMATS, PAIR, Q
from tests.tasks.tokenizers.tiny_tokenizer import CHATML, TOKENS, folder
from tests.training.small_configs import SMALL_MODEL
from training.checking import config_files
from training.run import train

ROWS, HELD_OUT = 12, 4
SMALL = SMALL_MODEL | {
  "model.pretrained": "",
  "base.steps": 0,
  "steps": 2,
  "batch_prompts": 4,
  "task.eval_prompts": HELD_OUT,
  "task.train_prompts": 0,
  "eval.every": 2,
  "eval.samples": 1,
  "checkpoint.every": 2,
  "optimizer.warmup_steps": 0,
  "sampling.max_tokens": 48,
  "wandb.mode": "disabled",
}
CONFIGS = {
  "pairs": ("configs/tasks/preferences.py:algorithm=dpo,data={}", {}),
  "groups": ("configs/tasks/groups.py:algorithm=off_policy_grpo,data={},k=2", {}),
  "rated": ("configs/tasks/groups.py:algorithm=kto,data={},k=1", {}),
  "to imitate": ("configs/tasks/groups.py:algorithm=sft,data={},k=1", {}),
  "questions": ("configs/grpo.py:k=2", {"task.name": "questions", "task.reward": "numeric"}),
}


RATED = {"label", "kto_tag", "helpfulness"}  # keys that say how good a single response is


def kind_of(record, expected):
  _, responses, scores, _ = expected
  if len(responses) == 2:
    return "pairs" if scores == PAIR[2] else "groups"
  if responses:
    return "rated" if RATED & record.keys() else "to imitate"
  return "questions"


def files():
  """(format, kind) -> the rows of that kind that the table has in that format."""
  found = {}
  for name, cases in FORMATS.items():
    for record, expected in cases:
      found.setdefault((name, kind_of(record, expected)), []).append((record, expected))
  return found


FILES = files()


def write(path, records):
  """Twelve rows, in each of the spellings in turn, with prompts of one length."""
  lines = []
  for number in range(ROWS):
    text = json.dumps(records[number % len(records)])
    for known in (Q[:-1], "A text"):
      text = text.replace(known, f"{known} {number:02}")
    if number // len(records) % 2:  # of single responses, some are good and some are bad
      text = text.replace("false", "true").replace('"helpfulness": 3', '"helpfulness": 0')
    lines.append(text + "\n")
  path.write_text("".join(lines))
  return str(path)


@pytest.fixture(scope="module")
def chats(tmp_path_factory):
  """The folder of a tiny pretrained model that reads conversations."""
  path = tmp_path_factory.mktemp("pretrained") / "model"
  shape: dict[str, Any] = {key.removeprefix("model."): size for key, size in SMALL_MODEL.items()}
  model = ModelConfig(vocab_size=len(TOKENS) + 7, qk_norm=False, **shape)
  exporting.export(jax.jit(init, static_argnums=0)(model, jax.random.key(0)), model, str(path))
  return folder(path, chat_template=CHATML)


@pytest.mark.slow
@pytest.mark.parametrize("of", FILES, ids=": ".join)
def test_a_run_on_rows_of_a_format_uses_them_all(tmp_path, chats, of):
  records, expected = zip(*FILES[of], strict=True)
  spec, settings = CONFIGS[of[1]]
  path = write(tmp_path / "rows.jsonl", records)
  settings = SMALL | settings
  if of[1] == "questions":
    settings |= {"task.data": path}
  if not all(isinstance(prompt, str) for prompt, *_ in expected):
    settings |= {"model.pretrained": chats}
    settings = {key: value for key, value in settings.items() if key not in SMALL_MODEL}
  config = config_files.load(spec.format(path), settings)
  run = train(config, str(tmp_path / "run"), root=str(tmp_path / "runs"))
  used, k = ROWS - HELD_OUT, config.group_size
  assert run.latest["step"] == 2 and run.latest["rollouts"] == used * k
  if of[1] != "questions":
    told = (tmp_path / "run" / "data.txt").read_text()
    assert f"{used} groups, K={k}, of {used} prompts\n" in told
