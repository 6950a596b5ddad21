"""The same five pairs in every format that is read, and what is said of broken files."""

import bz2
import csv
import gzip
import io
import json
import lzma

import pyarrow
import pyarrow.feather
import pyarrow.parquet
import pytest

from tasks.files import row_files, unpacking
from tasks.files.record_formats import RowFileError

PAIRS = [
  {"prompt": f'é "{i}",\nagain', "chosen": f"good\t{i}", "rejected": f"bad, {i}"} for i in range(5)
]
LINES = "".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in PAIRS)
TABLE = pyarrow.Table.from_pylist(PAIRS)


def as_table(delimiter):
  text = io.StringIO(newline="")
  writer = csv.DictWriter(text, ["prompt", "chosen", "rejected"], delimiter=delimiter)
  writer.writeheader()
  writer.writerows(PAIRS)
  return text.getvalue().encode()


def zstd(data):
  sink = pyarrow.BufferOutputStream()
  with pyarrow.CompressedOutputStream(sink, "zstd") as file:
    file.write(data)
  return sink.getvalue().to_pybytes()


def arrow(opened):
  sink = pyarrow.BufferOutputStream()
  with opened(sink, TABLE.schema) as writer:
    writer.write_table(TABLE)
  return sink.getvalue().to_pybytes()


FILES = {
  "a.jsonl": LINES.encode(),
  "a.ndjson": b"\n" + LINES.encode(),
  "mark.jsonl": b"\xef\xbb\xbf" + LINES.encode(),
  "wide.jsonl": LINES.encode("utf-16"),
  "wider.jsonl": LINES.encode("utf-32"),
  "array.json": json.dumps(PAIRS, indent=2).encode(),
  "array_wide.json": json.dumps(PAIRS, ensure_ascii=False).encode("utf-16"),
  "lines.json": LINES.encode(),
  "a.csv": as_table(","),
  "mark.csv": b"\xef\xbb\xbf" + as_table(","),
  "wide.csv": as_table(",").decode().encode("utf-16"),
  "a.tsv": as_table("\t"),
  "a.jsonl.gz": gzip.compress(LINES.encode()),
  "a.jsonl.bz2": bz2.compress(LINES.encode()),
  "a.jsonl.xz": lzma.compress(LINES.encode()),
  "A.JSONL.ZST": zstd(LINES.encode()),
  "a.csv.gz": gzip.compress(as_table(",")),
  "array.json.zst": zstd(json.dumps(PAIRS).encode()),
  "stream.arrow": arrow(pyarrow.ipc.new_stream),
  "file.arrow": arrow(pyarrow.ipc.new_file),
}


def texts(rows):
  return [(row.prompt, *row.responses) for row in rows]


EXPECTED = [tuple(pair.values()) for pair in PAIRS]


def write(path, content):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(content)
  return str(path)


@pytest.mark.parametrize("name", FILES)
def test_every_format_holds_the_same_rows(tmp_path, name):
  rows, problems = row_files.read(write(tmp_path / name, FILES[name]))
  assert not problems and texts(rows) == EXPECTED


def test_parquet_and_its_row_numbers(tmp_path):
  pyarrow.parquet.write_table(TABLE, tmp_path / "a.parquet")
  rows, _ = row_files.read(str(tmp_path / "a.parquet"))
  assert texts(rows) == EXPECTED and rows[4].where == "a.parquet row 5"


def test_cells_of_a_table_that_hold_lists(tmp_path):
  path = write(tmp_path / "a.csv", b'prompt,responses,scores\nq,"[""a"", ""b""]","[1, 0.5]"\n')
  (row,), problems = row_files.read(path)
  assert not problems and row.responses == ("a", "b") and row.scores == (1.0, 0.5)
  path = write(tmp_path / "b.csv", b"prompt,chosen,rejected\n[sic] it,{a},b\n")
  (row,), _ = row_files.read(path)
  assert (row.prompt, row.responses) == ("[sic] it", ("{a}", "b"))


def test_answers_of_a_table_stay_texts(tmp_path):
  rows, problems = row_files.read(write(tmp_path / "a.csv", b"question,answer\n1 + 1?,02\n"))
  assert not problems and rows[0].answer == "02"


@pytest.mark.parametrize(
  ("name", "content", "said"),
  [
    ("x.json", b'[{"prompt": "p"}, {"pro', "after row 1"),
    ("x.json", b'[{"prompt": "p"} {"prompt": "q"}]', "no ',' or ']' follows"),
    ("x.json", b"[] []", "follows"),
    ("x.jsonl.xz", lzma.compress(LINES.encode())[:-20], "cut off"),
    ("x.jsonl.bz2", bz2.compress(LINES.encode())[:-20], "cut off"),
    ("x.jsonl.zst", zstd(LINES.encode())[:-20], "cut off"),
    ("x.jsonl.gz", LINES.encode(), "no .gz file"),
    ("x.csv", "prompt,chosen,rejected\né,a,b\n".encode("latin-1"), "save it as UTF-8"),
    ("x.csv", b'prompt,chosen,rejected\n"a,b,c\n', "after row"),
    ("x.arrow", FILES["stream.arrow"][:300], "no whole Arrow file"),
    ("x.arrow", b"nothing of the kind", "no whole Arrow file"),
    ("x.zip", b"PK", "unzip it"),
    ("x.xlsx", b"PK", "save it as .csv"),
    ("x.parquet.gz", b"x", "files of rows end in"),
    ("x", b"x", "files of rows end in"),
  ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path, name, content, said):
  path = write(tmp_path / name, content)
  with pytest.raises(RowFileError, match=said) as raised:
    row_files.read(path)
  assert path in str(raised.value) and "\n" not in str(raised.value)


def test_rows_that_cannot_be_read_are_named(tmp_path):
  digits = b'{"prompt": "p", "chosen": "a", "rejected": "b", "n": ' + b"9" * 5000 + b"}\n"
  path = write(tmp_path / "x.jsonl", digits + b"[" * 100_000 + b"\n")
  rows, problems = row_files.read(path)
  assert not rows and [p.where for p in problems] == ["x.jsonl row 1", "x.jsonl row 2"]
  assert "4300 digits" in problems[0].what and "too deeply" in problems[1].what
  _, problems = row_files.read(write(tmp_path / "x.csv", b"prompt,chosen,rejected\na,b\n"))
  assert "2 cells, under a header of 3" in problems[0].what


def names(splits):
  return {split: [path.rpartition("/")[2] for path in paths] for split, paths in splits.items()}


def test_folders_and_patterns(tmp_path):
  for name in ("train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl", "test.jsonl"):
    write(tmp_path / "data" / name, LINES.encode())
  write(tmp_path / "data" / "dataset_infos.json", b"{}")
  expected = {
    "train": ["train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl"],
    "test": ["test.jsonl"],
  }
  assert names(row_files.splits_of(str(tmp_path / "data"))) == expected
  assert names(row_files.splits_of(str(tmp_path / "data" / "*.jsonl"))) == expected
  assert names(row_files.splits_of(str(tmp_path / "data" / "te*"))) == {"train": ["test.jsonl"]}
  # A word that only begins so is no split.
  write(tmp_path / "own" / "testimonies.csv", as_table(","))
  write(tmp_path / "own" / "training_of_dogs.csv", as_table(","))
  assert len(row_files.splits_of(str(tmp_path / "own"))["train"]) == 2
  for nothing in (tmp_path, tmp_path / "none-*.jsonl"):
    with pytest.raises(RowFileError, match="no file of rows is there"):
      row_files.splits_of(str(nothing))


def test_folders_that_datasets_saved(tmp_path):
  """As datasets 4.4's save_to_disk leaves them: state.json names the files."""
  for split in ("train", "test"):
    folder = tmp_path / "saved" / split
    write(folder / "data-00000-of-00001.arrow", FILES["stream.arrow"])
    write(folder / "cache-1.arrow", b"left by a map()")
    write(folder / "dataset_info.json", b"{}")
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_fingerprint": "f"}
    write(folder / "state.json", json.dumps(state).encode())
  write(tmp_path / "saved" / "dataset_dict.json", b'{"splits": ["train", "test"]}')
  found = row_files.splits_of(str(tmp_path / "saved"))
  assert set(found) == {"train", "test"} and len(found["train"]) == 1
  assert texts(row_files.read(found["test"][0])[0]) == EXPECTED
  assert set(row_files.splits_of(str(tmp_path / "saved" / "test"))) == {"train"}


def parquet_of(table, **options):
  sink = pyarrow.BufferOutputStream()
  pyarrow.parquet.write_table(table, sink, **options)
  return sink.getvalue().to_pybytes()


BOMB = b" " * (8 << 20)  # one line of blanks
PACK = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd}


@pytest.mark.parametrize("packed", PACK)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_a_file_that_unpacks_to_far_too_much_is_refused(name, packed, tmp_path, monkeypatch):
  monkeypatch.setattr(unpacking, "FREE", 1 << 20)
  path = tmp_path / (name + packed)
  path.write_bytes(PACK[packed](LINES.encode() + BOMB))
  with pytest.raises(RowFileError, match="more than of honest files; unpack it yourself") as error:
    row_files.read(str(path))
  assert "\n" not in str(error.value)


def test_so_is_a_parquet_file_of_one_row_many_times(tmp_path, monkeypatch):
  monkeypatch.setattr(unpacking, "FREE", 1 << 20)
  path = tmp_path / "a.parquet"
  path.write_bytes(parquet_of(pyarrow.table({"prompt": ["long " * 1000] * 3000})))
  with pytest.raises(RowFileError, match="more than of honest files; save it as"):
    row_files.read(str(path))


@pytest.mark.parametrize("packed", PACK)
def test_what_repeats_itself_as_real_data_does_is_read(packed, tmp_path, monkeypatch):
  monkeypatch.setattr(unpacking, "FREE", 1 << 12)
  row = {"prompt": "You are a helpful assistant. " * 20, "chosen": "a", "rejected": "b"}
  lines = "".join(json.dumps(row | {"prompt": f"{row['prompt']}{i}"}) + "\n" for i in range(300))
  path = tmp_path / f"a.jsonl{packed}"
  path.write_bytes(PACK[packed](lines.encode()))
  rows, problems = row_files.read(str(path))
  assert len(rows) == 300 and not problems


def test_of_a_key_that_is_there_twice_the_last_value_counts(tmp_path):
  path = tmp_path / "a.jsonl"
  path.write_text('{"prompt": "p", "chosen": "x", "rejected": "z", "chosen": "y"}\n')
  (row,), problems = row_files.read(str(path))
  assert row.responses == ("y", "z") and not problems


@pytest.mark.parametrize(
  ("line", "message"),
  [
    (b"[" * 100_000, "nested too deeply"),
    (b'{"a":' * 100_000, "nested too deeply"),
    (b'{"prompt": ' + b"9" * 100_000 + b"}", "not JSON that can be read"),
  ],
)
def test_a_line_that_is_a_trap_is_a_bad_row(line, message, tmp_path):
  path = tmp_path / "a.jsonl"
  path.write_bytes(LINES.encode() + line + b"\n")
  rows, (problem,) = row_files.read(str(path))
  assert len(rows) == 5 and message in problem.what and problem.where == "a.jsonl row 6"
