"""The queue of jobs, and how it is shown, with the disk full and files that go. No model here."""

import errno
import os

import pytest

from rounds.deployment import Deployment
from serving import job_views
from serving.errors import ApiError
from serving.jobs import Jobs
from serving.state import State

ABOUT = {"model": "base", "method": "dpo", "suffix": "", "training_file": "feedback", "seed": 0}
ABOUT |= {"hyperparameters": {}}


@pytest.fixture
def jobs(tmp_path):
  return Jobs(Deployment(str(tmp_path)), State(str(tmp_path / "service.sqlite")), "runs")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_a_job_in_the_queue_and_starts_no_process(jobs, monkeypatch, number):
  job = jobs.add(ABOUT, "Created.")

  def full(*arguments, **fields):
    raise OSError(number, "full")

  monkeypatch.setattr(jobs._state, "change_job", full)
  with pytest.raises(OSError):
    jobs._begin(job["id"])
  assert jobs._process is None and jobs.get(job["id"])["status"] == "queued"


def test_a_checkpoint_that_training_deletes_meanwhile_is_none(jobs, monkeypatch):
  job = jobs.add(ABOUT, "Created.")
  for step in ("2", "4"):
    os.makedirs(os.path.join(jobs.run_of(job), "checkpoints", step))
  found = os.listdir
  monkeypatch.setattr(os, "listdir", lambda path: [*found(path), "1", "6.tmp"])
  assert [one["step_number"] for one in job_views.checkpoints(jobs, job)] == [4, 2]


def test_a_list_goes_on_after_an_object_that_is_there():
  objects = [{"id": name} for name in "abc"]
  assert [one["id"] for one in job_views.page(objects, "a", 1)["data"]] == ["b"]
  with pytest.raises(ApiError) as refused:
    job_views.page(objects, "gone", 1)
  assert refused.value.param == "after"
