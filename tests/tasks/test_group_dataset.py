import numpy as np
import pytest

from tasks import group_dataset


def rows(n, k, t):
  rng = np.random.default_rng(0)
  return [
    {
      "prompt": f"prompt {i}",
      "answer": "é",
      "responses": rng.integers(0, 50, (k, t)).astype(np.int32),
      "mask": rng.random((k, t)) > 0.5,
      "finished": rng.random(k) > 0.5,
      "rewards": rng.random(k).astype(np.float32),
      "logps": rng.normal(size=(k, t)).astype(np.float32),
    }
    for i in range(n)
  ]


@pytest.mark.parametrize("k", [2, 3])  # two data sets of different shapes in one process
def test_what_is_written_is_read_in_the_same_order(tmp_path, k):
  written = rows(40, k, 5)
  assert group_dataset.path_in(str(tmp_path)) == ""
  path = group_dataset.write(str(tmp_path), written, k, 5)
  assert group_dataset.path_in(str(tmp_path)) == path
  read = group_dataset.read(path)
  assert [read.texts[i][0] for i in range(read.count)] == [row["prompt"] for row in written]
  assert read.texts[0][1] == "é"
  for name in group_dataset.ARRAYS:
    np.testing.assert_array_equal(read.arrays[name], np.stack([row[name] for row in written]))


def test_a_missing_data_set_is_named(tmp_path):
  with pytest.raises(FileNotFoundError, match="nowhere"):
    group_dataset.read(str(tmp_path / "nowhere"))
