"""Runs in W&B: offline ones are read back with wandb's reader; a W&B that fails costs little."""

import glob
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

from experiments import upload
from tests.comparing import fake_sweep
from training.checking import loss_signatures
from training.errors import UserError
from training.records import recorder, wandb_runs
from training.records.run_folder import RunFolder


def files(folder):
  return sorted(glob.glob(os.path.join(str(folder), "wandb", "offline-run-*", "run-*.wandb")))


def read_back(path):
  """The records of a .wandb file, by type."""
  command = [os.path.join(os.path.dirname(sys.executable), "wandb"), "leet", "inspect", "--json"]
  done = subprocess.run([*command, path], capture_output=True, text=True, check=True)
  records = {}
  for line in done.stdout.splitlines():
    record = json.loads(line)
    records.setdefault(record["type"], []).append(record[record["type"]])
  return records


def history(records):
  """Its rows: {"train/loss": 0.1, ...}."""
  return [row.get("items", row) for row in records["history"]]


@pytest.fixture
def sweep(tmp_path):
  return fake_sweep.write(tmp_path / "quick", variants=("dpo-offline", "grpo-k8"), seeds=(0,))


def test_a_run_says_where_it_belongs(sweep):
  run = RunFolder(os.path.join(sweep, "grpo-k8-s0"))
  about = wandb_runs.about(run, {"logps"})
  assert about["group"] == "quick/grpo-k8" and about["name"] == "grpo-k8-s0"
  assert about["tags"] == ["grpo", "spell_backward"] and about["job_type"] == "train"
  assert about["notes"].startswith("python -m experiments.train --config=configs/grpo.py:k=8")
  assert about["config"]["group_size"] == 8 and about["config"]["device"] == "cpu x1"
  assert about["config"]["variant"] == "grpo-k8" and "jax" in about["config"]["versions"]
  assert wandb_runs.about(run, {"logps"})["id"] == about["id"]
  assert about["id"].startswith("grpo-k8-s0-quick-")


@pytest.mark.parametrize(
  ("loss", "source", "job"),
  [("sft", "demonstrations", "sft"), ("bradley_terry", "offline", "reward")],
)
def test_job_types_tell_what_is_trained(tmp_path, loss, source, job):
  run = RunFolder(str(tmp_path / "x"))
  config = fake_sweep.config_of("grpo-k8", 0, 8) | {"algorithm": {"loss": loss}, "source": source}
  run.create(config, digest="d", config_file="x")
  words = loss_signatures.read(loss).arrays
  assert wandb_runs.about(run, words)["job_type"] == job


def test_upload_sends_every_row_and_completion(sweep, capsys):
  assert upload.main([sweep, "--mode=offline"]) == 0
  out = capsys.readouterr().out
  assert out.count("9 rows, 6 completions; wandb sync ") == 2
  for path in files(sweep)[:1]:  # reading one back takes seconds
    records = read_back(path)
    name = records["run"][0]["display_name"]
    assert records["run"][0]["run_id"].endswith("-replay")
    rows = RunFolder(os.path.join(sweep, name)).read_metrics()
    text = json.dumps(history(records))
    for row in rows:
      assert json.dumps(row["tokens"]) in text
      assert repr(row.get("train/loss", 0.0)) in text
    assert text.count("table-file") == 2  # the completions of the first and the last step


def test_runs_of_one_process_in_threads_keep_their_rows_apart(sweep):
  """As members of one vectorised program do."""
  runs = [RunFolder(os.path.join(sweep, name)) for name in ("grpo-k8-s0", "dpo-offline-s0")]

  def mirror(folder):
    run = wandb_runs.start(folder, "offline", ())
    for step in range(5):
      wandb_runs.log(run, {"step": step, "train/who": len(folder.name)})
      time.sleep(0.02)
    wandb_runs.finish(run, {"eval/who": len(folder.name)}, 0)

  threads = [threading.Thread(target=mirror, args=(folder,)) for folder in runs]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  first, second = files(sweep)
  assert ("dpo-offline-s0" in first) != ("dpo-offline-s0" in second)
  records = read_back(first)
  who = len(records["run"][0]["display_name"])
  rows = [row for row in history(records) if "train/who" in str(row)]
  assert len(rows) == 5 and all(f'"train/who": {who}' in json.dumps(row) for row in rows)


PRINTS = """
import os, sys
from training.records import wandb_runs
from training.records.run_folder import RunFolder
for replay in (False, True):
  run = wandb_runs.start(RunFolder(sys.argv[1]), "offline", (), replay=replay)
  print("a warning of the run's own")
  wandb_runs.log(run, {"step": 0})
  wandb_runs.finish(run, {}, 0)
  assert run.settings.x_disable_stats == replay
  console = os.path.join(run.dir, "output.log")
  told = open(console).read() if os.path.exists(console) else ""
  assert told == "" if replay else "a warning of the run's own" in told, (replay, told)
"""


def test_what_is_printed_is_sent_but_for_a_replay(sweep):
  """In a process of its own: W&B takes over what a process prints."""
  words = [sys.executable, "-c", PRINTS, os.path.join(sweep, "grpo-k8-s0")]
  done = subprocess.run(words, capture_output=True, text=True, timeout=120)
  assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("answers", [False, None], ids=["refuses", "is silent"])
def test_a_server_that_cannot_be_reached_costs_seconds_once(sweep, monkeypatch, answers, capsys):
  server = socket.socket()
  server.bind(("127.0.0.1", 0))
  address = f"http://127.0.0.1:{server.getsockname()[1]}"
  if answers is None:
    server.listen()  # takes connections, says nothing
  else:
    server.close()
  monkeypatch.setenv("WANDB_BASE_URL", address)
  monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
  monkeypatch.setattr(wandb_runs, "PROBE_SECONDS", 1.0)
  asked, ask = [], urllib.request.urlopen

  def urlopen(url, timeout):
    asked.append(timeout)
    return ask(url, timeout=timeout)

  monkeypatch.setattr(urllib.request, "urlopen", urlopen)
  for name in ("grpo-k8-s0", "dpo-offline-s0"):
    run = wandb_runs.start(RunFolder(os.path.join(sweep, name)), "online", ())
    assert run.offline
    run.finish()
  assert asked == [1.0]
  assert "does not answer" in capsys.readouterr().out
  server.close()


class Unhelpful(http.server.BaseHTTPRequestHandler):
  """A server that is there, and takes no runs."""

  def do_GET(self):
    self.send_error(404)

  def do_POST(self):
    time.sleep(60)

  def log_message(self, format, *args):
    pass


def test_a_server_that_takes_no_run_is_asked_once(sweep, monkeypatch):
  server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Unhelpful)
  threading.Thread(target=server.serve_forever, daemon=True).start()
  monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
  monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
  monkeypatch.setattr(wandb_runs, "INIT_SECONDS", 1.0)
  with pytest.raises(Exception, match="init_timeout|resume status"):
    wandb_runs.start(RunFolder(os.path.join(sweep, "grpo-k8-s0")), "online", ())
  run = wandb_runs.start(RunFolder(os.path.join(sweep, "dpo-offline-s0")), "online", ())
  assert run.offline
  run.finish()
  server.shutdown()


def test_without_wandb_a_run_goes_on(sweep, monkeypatch, capsys):
  from configs import grpo

  monkeypatch.setitem(sys.modules, "wandb", None)
  config = grpo.get_config()
  config.wandb.mode = "offline"
  folder = RunFolder(os.path.join(sweep, "grpo-k8-s0"))
  with recorder.Recorder(config, folder, lambda row: None) as rows:
    rows.log({"step": 9, "train/loss": 0.5})
  assert folder.read_metrics()[-1]["train/loss"] == 0.5
  assert "W&B: off" in capsys.readouterr().out


def test_a_run_that_wandb_fails_in_goes_on(sweep, capsys):
  from configs import grpo

  class Broken:
    def log(self, *_, **__):
      raise OSError("no space left")

  config = grpo.get_config()
  config.wandb.mode = "disabled"
  folder = RunFolder(os.path.join(sweep, "grpo-k8-s0"))
  with recorder.Recorder(config, folder, lambda row: None) as rows:
    rows._wandb = Broken()
    rows.log({"step": 9, "train/loss": 0.5})
    rows.log({"step": 10, "train/loss": 0.4})
  assert folder.read_metrics()[-1]["train/loss"] == 0.4
  assert capsys.readouterr().out.count("W&B: off from here (OSError: no space left)") == 1


def test_a_folder_that_is_no_run_is_named(tmp_path, capsys):
  assert upload.main([str(tmp_path)]) == 2
  assert f"{tmp_path} holds no runs; give a sweep's or a run's folder" in capsys.readouterr().err


def test_upload_takes_the_runs_of_the_sweep_only(sweep):
  fake_sweep.write_run(sweep, "dpo-online", seed=0)  # left by an earlier version of the sweep
  os.remove(os.path.join(sweep, "grpo-k8-s0", "metrics.jsonl"))
  assert [run.name for run in upload.runs_in(sweep)] == ["dpo-offline-s0"]
  assert [run.name for run in upload.runs_in(f"{sweep}/dpo-online-s0")] == ["dpo-online-s0"]
  os.remove(os.path.join(sweep, "dpo-offline-s0", "metrics.jsonl"))
  with pytest.raises(UserError, match="none of its runs has a row"):
    upload.runs_in(sweep)


def test_disabled_sends_nothing_and_says_so(sweep, capsys):
  assert upload.main([sweep]) == 1  # tests set WANDB_MODE=disabled
  assert "W&B is disabled here" in capsys.readouterr().err
