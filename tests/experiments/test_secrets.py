"""Nothing of the environment reaches a file, W&B's records or a screen: real commands, searched."""

import os
import subprocess
import sys
import zlib

import pytest

from tests.experiments.test_train import environment
from tests.training.small_configs import SMALL_MODEL

MARK = "5ec2e7" * 6 + "abcd"  # 40 characters, as W&B's keys have
SECRETS = {
  name: MARK
  for name in (
    *("WANDB_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY"),
    *("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GITHUB_TOKEN", "DATABASE_URL", "MY_OWN_PASSWORD"),
  )
}
FIELDS = SMALL_MODEL | {"steps": 2, "batch_prompts": 4, "group_size": 2, "base.steps": 0}
FIELDS |= {"task.train_prompts": 16, "task.eval_prompts": 4, "task.reward": "scorer"}
FIELDS |= {"eval.every": 2, "checkpoint.every": 2, "eval.samples": 1, "wandb.mode": "offline"}
WORDS = [
  "--config=configs/grpo.py",
  *(f"--config.{name}={value}" for name, value in FIELDS.items()),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
  """A folder of a repository whose remote has a password, as clones with tokens do."""
  place = tmp_path_factory.mktemp("place")
  remote = f"https://me:{MARK}@example.com/mine.git"
  for words in (["init", "-q"], ["remote", "add", "origin", remote]):
    subprocess.run(["git", *words], cwd=place, check=True)
  return place


def said(place, module, *words, code=0, **more):
  done = subprocess.run(
    [sys.executable, "-m", f"experiments.{module}", *words],
    cwd=place,
    env=environment(place) | SECRETS | more,
    capture_output=True,
    text=True,
  )
  assert done.returncode == code, done.stderr
  return done.stdout + done.stderr


@pytest.mark.slow
def test_no_secret_is_written_or_said(place):
  printed = [
    said(place, "train", *WORDS, "--out=runs/one"),
    said(place, "train", *WORDS, "--seeds=2", "--out=runs/two"),
    said(place, "report", "runs/one", "runs/two"),
    said(place, "show", "runs/one"),
    said(place, "evaluate", "runs/one"),
    said(place, "train", *WORDS, "--config.task.reward=nowhere:nothing", code=2),
    said(
      place, "train", *WORDS, "--config.model.pretrained=nobody/nothing", code=2, HF_HUB_OFFLINE="1"
    ),
    said(
      *(place, "train", *WORDS, "--out=runs/online", "--config.wandb.mode=online"),
      WANDB_BASE_URL="http://127.0.0.1:9",
    ),
  ]
  assert MARK not in "".join(printed)
  files = [os.path.join(folder, name) for folder, _, names in os.walk(place) for name in names]
  files = [path for path in files if path != str(place / ".git" / "config")]
  # W&B links to its logs before, and now and then without, writing them.
  files = [path for path in files if os.path.exists(path)]
  records = [path for path in files if path.endswith(".wandb")]
  # On a busy machine W&B may not start in time for a run, which then does without.
  assert len(files) > 50 and records, "\n".join(printed)
  assert [path for path in files if MARK.encode() in unpacked(path)] == []


def unpacked(path):
  """The file's bytes, and those of what it holds compressed, where that is whole."""
  try:
    with open(path, "rb") as file:
      content = file.read()
  except FileNotFoundError:  # W&B, which was told to end, removes what it no longer needs
    return b""
  try:
    return content + zlib.decompress(content)
  except zlib.error:
    return content
