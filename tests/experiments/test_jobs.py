"""The jobs of a sweep, done by a worker."""

from experiments.sweeping import jobs, worker
from training.records.files import read_text
from training.records.run_folder import RunFolder


def test_a_program_queued_again_leaves_the_members_alone_that_ended(tmp_path, monkeypatch):
  monkeypatch.setattr(worker, "print_to", lambda path: None)  # the output is pytest's

  def member(name, state):
    folder = RunFolder(str(tmp_path / name))
    about = {"digest": "d", "config_file": "x"}
    folder.create({"seed": 0}, **about)
    folder.write_status(state, step=4, steps=9, reason="train/loss is nan")
    arguments = {"folder": folder.path, "config": {}} | about
    return {"name": name, "log": folder.log, "arguments": arguments}

  members = [
    member("finished", "finished"),
    member("diverged", "diverged"),
    member("stopped", "stopped"),
  ]
  before = [read_text(str(tmp_path / run["name"] / "status.json")) for run in members]
  told = []
  jobs.train_together(lambda news: told.append(dict(news["runs"])), runs=members)
  after = [read_text(str(tmp_path / run["name"] / "status.json")) for run in members]
  assert [old == new for old, new in zip(before, after, strict=True)] == [True, True, False]
  states = {name: row["state"] for name, row in told[-1].items()}
  assert states["finished"] == "finished" and states["diverged"] == "diverged"
  assert states["stopped"] == "failed"  # it was trained: its config is empty
