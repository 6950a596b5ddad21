"""The twenty lines of docs/service.md, run to their end; rounds on a schedule; kills."""

import re
import subprocess
import sys
import time

import jax
import openai
import pytest

from models.pretrained import exporting
from models.transformer import ModelConfig, init
from rounds.deployment import Deployment
from serving import policies
from tests.docs import pages
from tests.experiments.test_train import environment
from tests.serving import kills
from tests.serving.server import BEGIN, Server, ask, comparable, prefer
from tests.tasks.tokenizers.tiny_tokenizer import CHATML, TOKENS, folder

pytestmark = pytest.mark.slow
AS_IT_IS = ["--config=configs/rounds.py", "--config.wandb.mode=disabled"]


def test_the_twenty_lines_make_what_was_preferred_likelier(tmp_path):
  (block,) = (b for b in pages.blocks("docs/service.md") if b.text.startswith("# loop.py"))
  server = Server(tmp_path, *AS_IT_IS).wait()
  try:
    code = block.text.replace("http://127.0.0.1:8600", server.url)
    done = subprocess.run(
      [sys.executable, "-c", code],
      capture_output=True,
      text=True,
      cwd=tmp_path,
      env=environment(tmp_path),
    )
  finally:
    server.stop()
  found = re.search(r"spelled backward: ([\d.]+), then ([\d.]+)", done.stdout)
  assert found, done.stderr
  assert float(found[2]) > float(found[1]) + 0.1, done.stdout


def test_a_round_is_done_on_schedule_when_there_are_rows_enough(tmp_path):
  server = Server(tmp_path, *BEGIN, "--every=2s", "--token=correcthorsebattery").wait()
  try:
    with pytest.raises(openai.AuthenticationError):
      server.client.models.list()
    client = server.client.with_options(api_key="correcthorsebattery")
    for completion in comparable(client, 4):
      prefer(client, completion.id, best=0)
    until = time.monotonic() + 300
    while not (home := client.get("/deployments", cast_to=object))["rounds"]:
      assert time.monotonic() < until
      time.sleep(0.5)
    assert home["rounds"][0]["reason"]
    assert home["in_service"] == ("round-001" if home["rounds"][0]["deployed"] else "base")
  finally:
    server.stop()


def test_a_round_that_somebody_types_takes_what_came_and_its_policy_answers(
  tmp_path,
):
  people = [*BEGIN, "--config.rounds.judge=people"]
  server = Server(tmp_path, *people).wait()
  typed = [sys.executable, "-m", "experiments.rounds", *people, "--out=runs/mine"]

  def round_():
    done = subprocess.run(
      typed, capture_output=True, text=True, cwd=tmp_path, env=environment(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    return done.stdout

  try:
    said = round_()
    assert "round 1  waiting for rows: 0 of 4 new ones in runs/mine/feedback" in said
    for completion in comparable(server.client, 4):
      prefer(server.client, completion.id, best=0)
    assert "round 1  " in (said := round_()) and "waiting" not in said
    first = Deployment(str(server.home)).round(1)
    assert first.recipe["taken"] == {"service.jsonl": 4} and first.recipe["assumed"] == 0
    time.sleep(policies.FRESH)
    expected = "round-001" if first.verdict["deployed"] else "base"
    assert ask(server.client).model == expected
  finally:
    server.stop()


def test_a_killed_server_loses_nothing_and_does_nothing_twice(tmp_path):
  found = kills.go_through(tmp_path, 3, jobs_every=2)
  assert found["lost"] == [] and found["doubled"] == [], found
  assert found["jobs"] >= 1 and found["feedback"] >= 1 and found["files"] >= 1


def test_a_pretrained_model_chats_in_conversations(tmp_path):
  model = ModelConfig(len(TOKENS) + 7, 1, 16, 2, 1, 8, 16, qk_norm=False)
  path = tmp_path / "pretrained"
  exporting.export(jax.jit(init, static_argnums=0)(model, jax.random.key(0)), model, str(path))
  folder(path, chat_template=CHATML)
  server = Server(tmp_path, "--model=pretrained", "--max_tokens=20").wait()
  try:
    talk = [
      {"role": "system", "content": "Be brief."},
      {"role": "user", "content": "one"},
      {"role": "assistant", "content": "two"},
      {"role": "user", "content": "three"},
    ]
    about = {"model": "current", "messages": talk, "n": 2, "seed": 1}
    found = server.client.chat.completions.create(**about)
    assert found.usage.prompt_tokens > 10 and all(c.message.content for c in found.choices)
    whole = [choice.message.content for choice in found.choices]
    pieces = ["", ""]
    for chunk in server.client.chat.completions.create(**about, stream=True):
      for choice in chunk.choices:
        pieces[choice.index] += choice.delta.content or ""
    assert pieces == whole
    first = server.client.chat.completions.create(**about | {"messages": talk[1:2]})
    assert first.usage.prompt_tokens < found.usage.prompt_tokens
  finally:
    server.stop()
