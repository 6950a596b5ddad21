import json

import pytest

from comparing import archive, comparison, verdict
from tests.comparing import fake_sweep
from training.errors import UserError
from training.records.run_folder import RunFolder


@pytest.fixture
def sweep(tmp_path):
  return str(fake_sweep.write(tmp_path / "quick", seeds=(0, 1, 2)))


def kept(folder, path):
  result = comparison.read(folder)
  runs = {variant.name: variant.runs for variant in result.variants}
  archive.write(str(path), runs, name=result.name, file=result.file, command="./quickstart")
  return result


def test_read_again_it_says_the_same(sweep, tmp_path):
  result = kept(sweep, tmp_path / "quick.json")
  again = comparison.read(str(tmp_path / "quick.json"))
  assert (again.name, again.file, again.commit) == (result.name, result.file, result.commit)
  assert again.date == result.date and not again.unfinished
  before, after = verdict.verdict(result), verdict.verdict(again)
  assert before and after and verdict.sentences(before) == verdict.sentences(after)
  for run, other in zip(result.runs, again.runs, strict=True):
    assert (run.name, run.seed, run.config, run.env) == (
      other.name,
      other.seed,
      other.config,
      other.env,
    )
    assert [row["step"] for row in other.rows] == [
      row["step"] for row in run.rows if any(key.startswith("eval/") for key in row)
    ]


def test_it_holds_evaluations_alone(sweep, tmp_path):
  kept(sweep, tmp_path / "quick.json")
  rows = json.loads((tmp_path / "quick.json").read_text())["runs"][0]["rows"]
  names = {name for row in rows for name in row}
  assert names and all(name.startswith("eval/") or "/" not in name for name in names)


def test_a_sweep_that_has_not_finished_is_not_kept(sweep, tmp_path):
  name = comparison.read(sweep).runs[0].name
  RunFolder(f"{sweep}/{name}").mark("stopped")
  with pytest.raises(UserError, match=f"not written, {name} is stopped"):
    kept(sweep, tmp_path / "quick.json")
  assert not (tmp_path / "quick.json").exists()


@pytest.mark.parametrize("text", ["", "{}", '{"runs": [{"name": "a"}]}', "[1]"])
def test_another_file_is_said_to_be_none(tmp_path, text):
  (tmp_path / "other.json").write_text(text)
  with pytest.raises(UserError, match="other.json is no archive of a comparison"):
    comparison.read(str(tmp_path / "other.json"))
