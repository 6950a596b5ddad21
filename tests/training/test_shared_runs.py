"""Runs that others share: trained once, and once more where what they are shared for is gone."""

import pathlib
import shutil

from tests.training.stopped_runs import rows_of
from tests.training.test_population import SMALL
from training import base_policy
from training.checking import config_files


def test_a_base_policy_is_trained_once_and_again_where_its_checkpoint_is_gone(tmp_path):
  config, rows = config_files.load("configs/grpo.py", SMALL), []
  folder = base_policy.ensure(config, str(tmp_path), rows.append)
  trained, before = len(rows), rows_of(folder.path)
  base_policy.ensure(config, str(tmp_path), rows.append)
  assert len(rows) == trained
  shutil.rmtree(pathlib.Path(folder.checkpoints))
  base_policy.ensure(config, str(tmp_path), rows.append)
  assert folder.checkpoint_steps and rows_of(folder.path) == before
