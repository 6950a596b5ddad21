import functools
import gzip
import hashlib
import http.server
import importlib
import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from tasks import build
from tasks.datasets import DATA_SETS, building, reading, sources
from tasks.datasets.data_set import DataSet, Source
from tasks.datasets.reading import BuiltRows, NotBuilt

QUESTIONS = {
  "train.jsonl": [
    {"question": f"{i} + 1?", "answer": f"Add.\n#### {i + 1:,}"} for i in range(998, 1003)
  ],
  "test.jsonl": [{"question": "2 - 3?", "answer": "Subtract.\n#### -1"}],
}


def write(folder, files):
  for name, records in files.items():
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))


def main(tmp_path, *argv):
  return build.main([*argv, f"--data_dir={tmp_path / 'data'}"])


def rows_of(tmp_path, name, split="train"):
  return BuiltRows(reading.folder_of(name, str(tmp_path / "data")), split)


def test_gsm8k_is_prompts_with_the_numbers_that_answer_them(tmp_path, capsys):
  write(tmp_path, QUESTIONS)
  assert main(tmp_path, "gsm8k", f"--manual_dir={tmp_path}") == 0
  assert "train 5, test 1 rows" in capsys.readouterr().out
  rows = rows_of(tmp_path, "gsm8k")
  assert [row.answer for row in rows] == ["999", "1,000", "1,001", "1,002", "1,003"]
  assert rows[1].prompt == "999 + 1?" and rows[1].where == "train.jsonl row 2"
  assert rows_of(tmp_path, "gsm8k", "test")[0].answer == "-1"


def test_a_source_that_changed_is_built_anew_and_read(tmp_path, capsys):
  write(tmp_path, QUESTIONS)
  argv = ("gsm8k", f"--manual_dir={tmp_path}")
  assert main(tmp_path, *argv) == 0 and main(tmp_path, *argv) == 0
  assert "built already" in capsys.readouterr().out
  before = reading.folder_of("gsm8k", str(tmp_path / "data"))
  write(tmp_path, {"test.jsonl": [{"question": "new?", "answer": "Yes.\n#### 7"}]})
  assert main(tmp_path, *argv) == 0
  assert reading.folder_of("gsm8k", str(tmp_path / "data")) != before
  assert rows_of(tmp_path, "gsm8k", "test")[0].prompt == "new?"
  write(tmp_path, QUESTIONS)  # and back: what was built of these is current again
  assert main(tmp_path, *argv) == 0
  assert reading.folder_of("gsm8k", str(tmp_path / "data")) == before


def test_a_reader_that_is_only_better_described_builds_nothing_anew(tmp_path, monkeypatch):
  monkeypatch.syspath_prepend(tmp_path)
  file, reader = tmp_path / "rows.jsonl", tmp_path / "own_reader.py"
  write(tmp_path, {"rows.jsonl": [{"prompt": "p", "chosen": "a", "rejected": "b"}]})
  code = "from tasks.rows import row_spellings\n\n\ndef parse(record, where):\n"
  code += "  return row_spellings.parse(record, where)\n"
  reader.write_text(code)
  parse = importlib.import_module("own_reader").parse

  def content():
    data_set = DataSet("some", "Rows.", {}, parse=parse)
    return building.Plan.of(data_set, {"train": [str(file)]}, str(tmp_path)).content

  before = content()
  reader.write_text(code.replace("  return", '  """As it is."""\n  return') + "\n\nx = 1\n")
  assert content() == before
  reader.write_text(code.replace("(record, where)\n", "(record, where.upper())\n"))
  assert content() != before


def published(i, scores):
  writers = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
  solutions = zip(writers, scores, strict=True)
  solved = {w: {"solution": f"{w} {i}", "is_correct": score} for w, score in solutions}
  return {"question": f"q{i}", "ground_truth": "#### 1"} | solved


def test_scored_solutions_of_the_published_file_and_of_the_reshaped_one(tmp_path):
  judged = [(True, False, False, i % 2 == 0) for i in range(20)]
  write(tmp_path / "a", {"example_model_solutions.jsonl": map(published, range(20), judged)})
  assert main(tmp_path, "gsm8k_groups", f"--manual_dir={tmp_path / 'a'}") == 0
  first = [row for split in ("train", "test") for row in rows_of(tmp_path, "gsm8k_groups", split)]
  assert len(first) == 20 and len(rows_of(tmp_path, "gsm8k_groups", "test")) == 2
  assert {row.scores for row in first} == {(1.0, 0.0, 0.0, 1.0), (1.0, 0.0, 0.0, 0.0)}
  reshaped = [
    {
      "messages": [{"role": "user", "content": row.prompt}],
      "responses": [
        {"response": r, "score": s} for r, s in zip(row.responses, row.scores, strict=True)
      ],
    }
    for row in first
  ]
  write(tmp_path / "b", {"model_solutions_groups.jsonl": reshaped})
  assert main(tmp_path, "gsm8k_groups", f"--manual_dir={tmp_path / 'b'}") == 0
  again = [row for split in ("train", "test") for row in rows_of(tmp_path, "gsm8k_groups", split)]
  assert {(r.prompt, r.responses, r.scores) for r in again} == {
    (r.prompt, r.responses, r.scores) for r in first
  }


def test_hh_rlhf_and_ultrafeedback_in_their_own_formats(tmp_path):
  talk = "\n\nHuman: hi\n\nAssistant: yes?\n\nHuman: {}\n\nAssistant: "
  for part in ("harmless-base", "helpful-base", "helpful-online", "helpful-rejection-sampled"):
    for split in ("train", "test"):
      start = talk.format(f"{part} {split}")
      pair = {"chosen": start + "sure", "rejected": start + "no"}
      write(tmp_path, {f"{part}/{split}.jsonl.gz": []})
      data = (json.dumps(pair) + "\n").encode()
      (tmp_path / part / f"{split}.jsonl.gz").write_bytes(gzip.compress(data))
  assert main(tmp_path, "hh_rlhf", f"--manual_dir={tmp_path}") == 0
  row = rows_of(tmp_path, "hh_rlhf")[0]
  last = ("user", "harmless-base train")
  assert row.prompt == (("user", "hi"), ("assistant", "yes?"), last)
  assert row.responses == ("sure", "no")

  for i, part in enumerate(("evol_instruct", "false_qa", "flan", "sharegpt", "truthful_qa")):
    completions = [{"model": "m", "response": f"r{k}", "overall_score": k + 0.5} for k in range(4)]
    write(tmp_path, {f"{part}.jsonl": [{"instruction": f"do {i}", "completions": completions}]})
  write(tmp_path, {"ultrachat.jsonl": [{"instruction": "last", "completions": completions[:2]}]})
  assert main(tmp_path, "ultrafeedback", f"--manual_dir={tmp_path}") == 0
  rows = [row for s in ("train", "test") for row in rows_of(tmp_path, "ultrafeedback", s)]
  assert sorted(len(row.responses) for row in rows) == [2, 4, 4, 4, 4, 4]
  assert max(row.scores for row in rows) == (0.5, 1.5, 2.5, 3.5)


def test_a_local_file_keeps_log_probs_unscored_responses_and_conversations(tmp_path):
  talk = [("user", "a"), ("assistant", "b"), ("user", "c")]
  group = {
    "messages": [{"role": role, "content": content} for role, content in talk],
    "responses": ["x y", "é", "z"],
    "scores": [0.25, None, -2],
    "logps": [[-0.5, -1.5], [-0.25], []],
  }
  others = [{"prompt": f"p{i}", "chosen": "a", "rejected": "b"} for i in range(3)]
  write(tmp_path, {"My groups.jsonl": [group, *others]})
  assert main(tmp_path, "local", f"--file={tmp_path / 'My groups.jsonl'}", "--held_out=0") == 0
  rows = rows_of(tmp_path, "local_my_groups")
  row = rows[0]
  assert row.prompt == tuple(talk) and row.responses == ("x y", "é", "z")
  assert row.scores == (0.25, None, -2.0) and row.logps == ((-0.5, -1.5), (-0.25,), ())
  assert rows.__getitems__([3, 1]) == [rows[3], rows[1]] and rows[3].scores == (1.0, 0.0)


def test_bad_rows_stop_a_build_or_are_listed_beside_it(tmp_path, capsys):
  pairs: list[dict] = [{"prompt": f"p{i}", "chosen": "a", "rejected": "b"} for i in range(10)]
  pairs[3]["rejected"] = "a"
  pairs[5]["chosen"] = None
  write(tmp_path, {"pairs.jsonl": pairs})
  argv = ("local", f"--file={tmp_path / 'pairs.jsonl'}")
  assert main(tmp_path, *argv) == 2
  error = capsys.readouterr().err
  assert "pairs.jsonl row 4: the two responses are the same text" in error
  assert "pairs.jsonl row 6: no 'chosen'" in error and "--skip_bad_rows" in error
  with pytest.raises(NotBuilt, match="python -m tasks.build local_pairs"):
    rows_of(tmp_path, "local_pairs")
  assert main(tmp_path, *argv, "--skip_bad_rows") == 0
  assert "2 problems, listed in" in capsys.readouterr().out
  path = reading.folder_of("local_pairs", str(tmp_path / "data"))
  assert len(rows_of(tmp_path, "local_pairs")) == 7 and len(BuiltRows(path, "test")) == 1


def test_columns_of_other_names_are_named(tmp_path, capsys):
  pairs = [{"query": f"p{i}", "better": "a", "worse": "b", "tools": "x"} for i in range(4)]
  write(tmp_path, {"pairs.jsonl": pairs})
  argv = ("local", f"--file={tmp_path / 'pairs.jsonl'}", "--held_out=0", "--ignore=tools")
  assert main(tmp_path, *argv) == 2
  assert " --prompt=query reads 'query' as it" in capsys.readouterr().err
  names = ("--prompt=query", "--chosen=better", "--rejected=worse")
  assert main(tmp_path, *argv, *names) == 0
  rows = rows_of(tmp_path, "local_pairs")
  assert [row.responses for row in rows] == [("a", "b")] * 4
  turned = ("--prompt=query", "--chosen=worse", "--rejected=better")
  assert main(tmp_path, *argv, *turned) == 0  # other names are another data set
  assert [row.responses for row in rows_of(tmp_path, "local_pairs")] == [("b", "a")] * 4
  with pytest.raises(SystemExit):
    main(tmp_path, "gsm8k", "--prompt=query")


def test_prompts_of_train_and_test_are_bad_rows_of_train(tmp_path, capsys):
  pairs = [{"prompt": f"p{i}", "chosen": "a", "rejected": "b"} for i in range(4)]
  write(tmp_path, {"train.jsonl": pairs, "test.jsonl": pairs[2:3]})
  argv = ("local", f"--file={tmp_path}/train.jsonl", f"--test_file={tmp_path}/test.jsonl")
  assert main(tmp_path, *argv) == 2
  error = capsys.readouterr().err
  assert "train.jsonl row 3: its prompt is held out for evaluation (test.jsonl row 1)" in error
  assert main(tmp_path, *argv, "--skip_bad_rows") == 0
  assert len(rows_of(tmp_path, "local_train")) == 3


def test_ten_thousand_rows_are_read_at_random_in_the_order_of_the_file(tmp_path):
  groups = [
    {"prompt": f"p{i}", "responses": [f"a{i}", f"b{i}"], "scores": [1, 0]} for i in range(10_000)
  ]
  write(tmp_path, {"groups.jsonl": groups})
  assert main(tmp_path, "local", f"--file={tmp_path / 'groups.jsonl'}", "--held_out=0") == 0
  rows = rows_of(tmp_path, "local_groups")
  chosen = np.random.default_rng(0).permutation(10_000)[:100].tolist()
  assert [row.prompt for row in rows.__getitems__(chosen)] == [f"p{i}" for i in chosen]


def test_any_data_set_of_tfds_in_a_known_spelling_is_read(tmp_path):
  import tensorflow_datasets as tfds

  text = tfds.features.Text()
  features = {
    "prompt": text,
    "chosen": tfds.features.Sequence({"role": text, "content": text}),
    "rejected": tfds.features.Sequence({"role": text, "content": text}),
  }
  pair = {key: [{"role": "assistant", "content": key}] for key in ("chosen", "rejected")}
  with tfds.core.registered.skip_registration():

    class Foreign(tfds.core.GeneratorBasedBuilder):
      """Pairs in TRL's spelling."""

      VERSION = tfds.core.Version("1.0.0")

      def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

      def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

      def _generate_examples(self):
        yield 0, {"prompt": "hé"} | pair

  builder = Foreign(data_dir=str(tmp_path), file_format="array_record")
  builder.download_and_prepare()
  row = BuiltRows(str(builder.data_dir))[0]
  assert (row.prompt, row.responses, row.scores) == ("hé", ("chosen", "rejected"), (1.0, 0.0))


# --- downloads ----------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path):
  """(address, folder) of a server of files."""
  folder = tmp_path / "published"
  folder.mkdir()
  handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
  with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_address[1]}", folder
    httpd.shutdown()


def data_set_at(address, sha256=""):
  return DataSet("some", "Rows.", {"train": (Source(f"{address}/a.jsonl", "a.jsonl", sha256),)})


def test_a_download_is_kept_and_must_have_the_checksum_that_is_known(tmp_path, server):
  address, folder = server
  write(folder, {"a.jsonl": [{"prompt": "p", "chosen": "a", "rejected": "b"}]})
  sha256 = hashlib.sha256((folder / "a.jsonl").read_bytes()).hexdigest()
  got = []
  paths = sources.obtain(data_set_at(address, sha256), "", str(tmp_path / "d"), got.append)
  assert sources.sha256_of(paths["train"][0]) == sha256
  assert sum(got) == (folder / "a.jsonl").stat().st_size
  (folder / "a.jsonl").unlink()  # a second time it is not asked for
  assert sources.obtain(data_set_at(address, sha256), "", str(tmp_path / "d")) == paths

  write(folder, {"a.jsonl": [{"prompt": "other", "chosen": "a", "rejected": "b"}]})
  with pytest.raises(sources.SourceError, match="is not the published file"):
    sources.obtain(data_set_at(address, sha256), "", str(tmp_path / "e"))
  assert not list((tmp_path / "e").rglob("a.jsonl*"))


def test_an_unknown_checksum_is_noted_at_the_first_download(tmp_path, server):
  address, folder = server
  write(folder, {"a.jsonl": [{"prompt": "p"}]})
  path = sources.obtain(data_set_at(address), "", str(tmp_path))["train"][0]
  write(folder, {"a.jsonl": [{"prompt": "q"}]})
  os.remove(path)
  with pytest.raises(sources.SourceError, match="has changed since"):
    sources.obtain(data_set_at(address), "", str(tmp_path))


def test_without_a_network_or_a_file_it_is_said_what_to_do(tmp_path, server):
  address, _ = server
  with pytest.raises(sources.SourceError, match="--manual_dir=FOLDER"):
    sources.obtain(data_set_at(address), "", str(tmp_path))
  with pytest.raises(sources.SourceError, match=r"has no a\.jsonl"):
    sources.obtain(data_set_at(address), str(tmp_path), str(tmp_path))


# --- the table, and the command -----------------------------------------------------------------


@pytest.mark.parametrize("data_set", DATA_SETS.values(), ids=DATA_SETS)
def test_licence_and_citation_are_in_the_metadata(data_set):
  assert data_set.licence and "@article" in data_set.citation and data_set.homepage
  for files in data_set.sources.values():
    assert all(source.url.startswith("https://") for source in files)
    assert all(len(source.sha256) in (0, 64) for source in files)


def test_metadata_is_built_in(tmp_path):
  import tensorflow_datasets as tfds

  write(tmp_path, QUESTIONS)
  main(tmp_path, "gsm8k", f"--manual_dir={tmp_path}")
  path = reading.folder_of("gsm8k", str(tmp_path / "data"))
  info = tfds.builder_from_directory(path).info
  assert "MIT" in str(info.redistribution_info) and "Cobbe" in info.citation


def test_the_command_needs_no_tensorflow_and_says_what_it_would_do(tmp_path):
  write(tmp_path, QUESTIONS)
  code = (
    "import sys; from tasks import build; "
    f"code = build.main(['gsm8k', '--manual_dir={tmp_path}', '--data_dir={tmp_path}/d']); "
    "sys.exit(code or 'tensorflow' in sys.modules or 'jax' in sys.modules)"
  )
  assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("argv", [["gsm8k", "--dry_run"], ["local", "--file=x.jsonl", "--dry_run"]])
def test_a_dry_run_builds_nothing(tmp_path, capsys, argv):
  assert main(tmp_path, *argv) == 0
  assert "would be built in" in capsys.readouterr().out and not (tmp_path / "data").exists()


@pytest.mark.parametrize(
  "argv", [["local"], ["gsm9k"], ["gsm8k", "--file=x"], ["local", "--file=x", "--held_out=1"]]
)
def test_bad_usage(argv, capsys):
  with pytest.raises(SystemExit) as stop:
    build.main(argv)
  assert stop.value.code == 2 and "error" in capsys.readouterr().err


def test_two_files_of_one_name_do_not_take_each_others_place(tmp_path, capsys):
  for project in ("one", "two"):
    rows = [{"prompt": f"{project} {i}", "chosen": "a", "rejected": "b"} for i in range(5)]
    write(tmp_path / project, {"train.jsonl": rows})
  first, second = (f"--file={tmp_path}/{project}/train.jsonl" for project in ("one", "two"))
  assert main(tmp_path, "local", first) == 0 and main(tmp_path, "local", first) == 0
  assert main(tmp_path, "local", second) == 2
  error = capsys.readouterr().err
  assert (
    "local_train" in error and "/one/train.jsonl" in error and "--name, such as train_2" in error
  )
  assert main(tmp_path, "local", second, "--name=train_2") == 0
  assert rows_of(tmp_path, "local_train")[0].prompt in {f"one {i}" for i in range(5)}
  assert rows_of(tmp_path, "local_train_2")[0].prompt in {f"two {i}" for i in range(5)}
