"""The report's page: what it says and what it survives."""

import csv
import os
import re
import shutil

import plotly.graph_objects as go
import pytest

from comparing import comparison, plots
from experiments import report
from tests.comparing import fake_sweep
from training.records.run_folder import RunFolder

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""
needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="no chromium or google-chrome on the PATH")

METRICS = ("eval/kl", "train/loss", "train/nowhere")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
  return fake_sweep.write(tmp_path_factory.mktemp("runs") / "quick")


@pytest.fixture(scope="module")
def page(sweep):
  return read(report.write(sweep))


def read(path: str) -> str:
  with open(path) as file:
    return file.read()


def without_plotly(page: str) -> str:
  """The page's own text: scripts out, spaces joined."""
  return " ".join(re.sub(r"<script.*?</script>", "", page, flags=re.S).split())


def find(pattern: str, text: str) -> str:
  found = re.search(pattern, text)
  assert found, f"no {pattern} in the page"
  return found.group()


def drawn(plot: plots.Plot | None) -> plots.Plot:
  assert plot is not None
  return plot


def test_the_page_stands_beside_its_runs_with_the_numbers_of_each(sweep):
  assert report.write(sweep) == os.path.join(sweep, "report.html")
  with open(os.path.join(sweep, "results.csv")) as file:
    base, *rows = csv.DictReader(file)
  assert base["run"] == "base policy" and base["eval/reward"] == "0.602"
  assert len(rows) == 15
  assert list(rows[0].values())[:4] == ["dpo-offline-s0", "dpo-offline", "0", "finished"]
  assert float(rows[0]["rollouts"]) == 20480 and 0.5 < float(rows[0]["eval/reward"]) < 0.7


def test_results_have_the_config_fields_in_which_runs_differ(sweep):
  report.write(sweep)
  with open(os.path.join(sweep, "results.csv")) as file:
    base, first, *rows = csv.DictReader(file)
  named = [name for name in first if name.startswith("config.")]
  assert named[:3] == ["config.group_size", "config.batch_prompts", "config.source"]
  assert "config.seed" not in named and "config.steps" not in named
  assert (first["config.group_size"], base["config.group_size"]) == ("2", "")
  assert {row["config.algorithm.beta"] for row in rows} == {"0.1", ""}


def test_the_page_opens_with_the_verdict(page):
  header = find("<header>.*?</header>", without_plotly(page))
  assert re.search(r'<p class="finding">Best: grpo-k\d \(0.6\d\d ±', header)
  rows = re.findall(r'<tr data-variant="(.*?)">(.*?)</tr>', find("<tbody>.*?</tbody>", header))
  assert len(rows) == 5 and {rows[0][0], rows[1][0]} == {"grpo-k2", "grpo-k8"}
  assert rows[-1][0] == "dpo-offline" and "▼" in rows[-1][1]
  assert all("<svg" in row and "<circle" in row for _, row in rows)
  assert header.index("<details") > header.index("</tbody>")  # the sentences are folded, below
  assert 'data-copy="rank,variant' in header and "\\begin{tabular}" in header
  assert "Filter" not in header  # of five variants one needs none


def test_the_page_needs_no_network(page):
  own = without_plotly(page)
  assert not re.search(r"(src|href)=\"?(https?:)?//", own)
  assert "url(" not in own and "@import" not in own
  assert page.count("plotly.js v") == 1


def test_the_page_is_accessible_in_its_bones(page):
  own = without_plotly(page)
  assert '<html lang="en">' in own and own.count("<main>") == 1 and own.count("<h1>") == 1
  assert "<h3" not in own and own.count("<h2>") == 9
  for plot in re.findall(r'<div class="canvas"[^>]*>', own):
    assert "aria-label=" in plot


def test_completions_are_shown_as_text_never_run(page):
  own = without_plotly(page)
  assert "&lt;script&gt;alert(1)&lt;/script&gt;" in own
  assert "alert(1)" not in re.sub(r"&lt;script&gt;alert\(1\)", "", page)


def test_completions_count_flips_and_where_policies_disagree(tmp_path):
  folder = str(tmp_path / "quick")
  finals = {"grpo-k2": ("naeco", "x"), "grpo-k8": ("x", "pmal")}  # of ocean, which was wrong; lamp
  for variant, answers in finals.items():
    run = fake_sweep.write_run(folder, variant, 0)
    run.truncate(-1)
    rows = [{"step": step} | fake_sweep.rows_of(variant, 0, 8)[step] for step in (0, 8)]
    for row in rows:
      run.append_metrics(row)
    for step, texts in ((0, ("x", "pmal")), (8, answers)):
      for text, (prompt, answer) in zip((*texts, "x"), fake_sweep.PROMPTS.items(), strict=True):
        row = {"step": step, "prompt": prompt, "answer": answer, "completion": text}
        run.append_completions([row | {"reward": float(text == answer)}])  # as of older runs
  fake_sweep.write_sweep(folder, [{"name": f"{v}-s0", "variant": v} for v in finals])
  section = find(
    '<section id="completions">.*?</section>', without_plotly(read(report.write(folder)))
  )
  flips = find('<table class="flips">.*?</table>', section)
  assert re.findall(r"</svg>(.*?)</th><td>(\d)</td><td>(\d)</td><td>(\d)</td>", flips) == [
    ("grpo-k2", "1", "1", "3"),
    ("grpo-k8", "0", "0", "3"),
  ]
  assert "Only where they disagree: 2 of 3" in section
  assert section.count('<details class="prompt agreed">') == 1
  assert section.count("▲ higher than before") == 1
  assert section.count("▼ lower than before") == 1
  assert "sampled" not in section and "training groups" not in section  # there are none


def test_samples_stand_beside_greedy_answers_and_groups_are_folded(page):
  section = find('<section id="completions">.*?</section>', without_plotly(page))
  assert "&lt;b&gt;sample&lt;/b&gt;" in section and '<th scope="col">sampled</th>' in section
  groups = re.findall(r'<details class="groups">.*?</details>', section)
  assert len(groups) == 5 and all("Step 1:" in group and "Step 8:" in group for group in groups)
  assert "exact" not in groups[0] and "weight" in groups[0]  # one reward, no parts
  assert groups[3].rindex("&lt;i&gt;0") > groups[3].rindex("&lt;i&gt;7")  # unscored: last
  best = find('<tr><th scope="row"><samp>&lt;i&gt;1.*?</tr>', groups[3])
  assert re.findall("<td>(.*?)</td>", best) == ["1.00", "0.50", "1.00", "4", "1.300", "5.200"]


def test_names_cannot_leave_the_data_they_stand_in(tmp_path):
  evil = "</script><b>grpo"
  run = fake_sweep.write_run(str(tmp_path), "grpo-k2", 0)
  fake_sweep.write_sweep(str(tmp_path), [{"name": run.name, "variant": evil}])
  page = read(report.write(str(tmp_path)))
  assert evil not in page and "&lt;/script&gt;&lt;b&gt;grpo" in page


def test_the_table_marks_the_best_and_its_ties_and_pairs_differences(page):
  own = without_plotly(page)
  own = find('<section id="final">.*', own)
  row = find("</svg>grpo-k2</th>.*?</tr>", own)
  assert 'class="best"' in row and "n=1" not in row
  row = find("</svg>dpo-offline</th>.*?</tr>", own)
  assert 'class="best"' not in row
  assert "minus base" in own and "minus dpo-offline" in own


def test_only_config_fields_that_differ_are_listed(page):
  table = find('<section id="config">.*?</table>', without_plotly(page))
  assert re.findall(r"<code>(.*?)</code>", table) == [
    *("group_size", "batch_prompts", "source"),
    *("algorithm.loss", "algorithm.beta", "algorithm.clip_low", "algorithm.clip_high"),
  ]


def test_every_figure_is_one_that_plotly_knows(sweep):
  result = comparison.read(sweep)
  made = [
    drawn(plots.learning_curves(result)),
    drawn(plots.frontier(result)),
    drawn(plots.final_rewards(result)),
    drawn(plots.implied_rewards(result)),
    drawn(plots.small_curves("others", result, {m: m for m in METRICS})),
  ]
  for plot in made:
    for figure in plot.figures.values():
      go.Figure(figure)  # raises on a field or value that Plotly does not have
  assert [len(plot.figures) for plot in made] == [24, 4, 3, 2, 1]


def test_a_variant_looks_the_same_in_every_figure(sweep):
  result = comparison.read(sweep)
  looks = set()
  for draw in (plots.learning_curves, plots.frontier, plots.final_rewards):
    for figure in drawn(draw(result)).figures.values():
      for trace in figure["data"]:
        if trace.get("name") == "grpo-k2" and "color" in trace.get("marker", {}):
          looks.add((trace["marker"]["color"], trace["marker"]["symbol"]))
  assert looks == {("#009E73", "diamond")}


def test_failed_runs_are_named_with_their_reason_and_drawn(tmp_path):
  folder = fake_sweep.write(tmp_path / "quick", variants=("grpo-k2", "grpo-k8"))
  run = RunFolder(f"{folder}/grpo-k8-s1")
  run.truncate(41)
  run.mark("diverged", "train/loss is nan at step 42")
  RunFolder(f"{folder}/grpo-k8-s2").clear()
  page = without_plotly(read(report.write(folder)))
  section = find('<section id="failed">.*?</section>', page)
  assert "grpo-k8-s1" in section and "train/loss is nan at step 42" in section
  assert "grpo-k8-s2" in section and "not started" in section
  curves = drawn(plots.learning_curves(comparison.read(folder)))
  figure = curves.figures["eval/reward_sampled|step|band"]
  assert any(trace["name"] == "grpo-k8, diverged" for trace in figure["data"])


def test_none_failed_is_said(page):
  assert "None: all 15 runs finished." in without_plotly(page)


def test_a_loss_of_ones_own_without_the_usual_metrics_gets_a_page(tmp_path):
  folder = fake_sweep.write(tmp_path / "quick", variants=("grpo-k2",), seeds=(0, 1))
  for seed in (0, 1):
    run = RunFolder(f"{folder}/grpo-k2-s{seed}")
    run.truncate(-1)
    for step in range(5):
      run.append_metrics({"step": step, "train/loss": None, "train/temper": 0.1 * step})
  page = without_plotly(read(report.write(folder)))
  assert "No run has been evaluated on held-out prompts yet." in page
  assert "The runs have not logged implied rewards." in page
  assert "No completions have been written." in page
  assert "nothing to conclude" in page


@pytest.mark.parametrize("state", ["running", "failed", "not started"])
def test_a_sweep_of_which_no_run_finished_gets_a_page(tmp_path, state):
  folder = fake_sweep.write(tmp_path / "quick", variants=("grpo-k2", "dpo-online"), seeds=(0,))
  for name in ("grpo-k2-s0", "dpo-online-s0"):
    run = RunFolder(f"{folder}/{name}")
    run.clear() if state == "not started" else run.mark(state, "out of memory")
  page = without_plotly(read(report.write(folder)))
  assert "No run has finished yet" in page and state in page


def test_a_run_that_wrote_only_its_first_rows_gets_a_page(tmp_path):
  run = fake_sweep.write_run(str(tmp_path), "grpo-k2", 0)
  run.truncate(0)
  run.mark("failed", "out of memory")
  assert "No run has finished yet" in read(report.write(run.path))


@pytest.fixture
def two_sweeps(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for name in ("quick", "mine"):
    fake_sweep.write(tmp_path / "runs" / name, variants=("grpo-k2",), seeds=(0,))
  return "runs/quick", "runs/mine"


def test_several_folders_are_reported_in_a_folder_of_their_own(two_sweeps, capsys):
  assert report.main([*two_sweeps]) == 0
  *table, last = capsys.readouterr().out.splitlines()
  assert last == "report: runs/compare-quick-mine/report.html"
  assert any(" quick/grpo-k2 " in line for line in table)
  assert "quick/grpo-k2" in read("runs/compare-quick-mine/report.html")
  assert sorted(os.listdir("runs")) == ["compare-quick-mine", "mine", "quick"]
  assert not os.path.exists("runs/quick/report.html")


def test_a_comparison_goes_where_one_says_but_over_no_sweeps_own_report(two_sweeps, capsys):
  assert report.main([*two_sweeps, "--out=here/both"]) == 0
  assert os.path.exists("here/both/report.html") and os.path.exists("here/both/results.csv")
  for out in ("runs/mine", "runs/mine/grpo-k2-s0"):
    assert report.main([*two_sweeps, f"--out={out}"]) == 2
    assert f"error: --out={out} is a sweep's or a run's folder" in capsys.readouterr().err
  assert report.main(["runs/mine", "--out=runs/mine/"]) == 0


def test_a_comparison_goes_into_no_folder_of_others(two_sweeps, capsys):
  os.makedirs("thesis")
  for path in ("thesis/report.html", "file"):
    with open(path, "w") as file:
      file.write("mine")
  for out in ("thesis", "file"):
    assert report.main([*two_sweeps, f"--out={out}"]) == 2
    assert f"error: --out={out} " in capsys.readouterr().err
  assert os.listdir("thesis") == ["report.html"] and read("thesis/report.html") == "mine"
  assert report.main([*two_sweeps, "--out=here/both"]) == 0
  assert report.main([*two_sweeps, "--out=here/both"]) == 0  # our own is written anew


def test_folders_that_share_a_name_or_are_many_get_a_folder_that_is_theirs(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert report.home(["runs/quick"]) == report.home(["runs/quick", "runs/quick/"]) == "runs/quick"
  ones, others = report.home(["a/quick", "b/quick"]), report.home(["a/quick", "c/quick"])
  assert ones != others and ones.startswith("runs/compare-quick-quick-")
  many = report.home([f"runs/x{n}" for n in range(9)])
  assert many.startswith("runs/compare-x0-x1-x2-and-6-more-")


def test_a_wrong_folder_is_one_line_and_exit_2(capsys):
  assert report.main(["runs/nowhere"]) == 2
  assert capsys.readouterr().err == (
    "error: no folder 'runs/nowhere'; give a sweep's or a run's folder, e.g. runs/quick\n"
  )


def test_the_statistics_of_each_score_are_a_table(page):
  section = find('<section id="statistics">.*?</section>', without_plotly(page))
  assert section.count("<table") == 2 and section.count("</tr>") == 2 * (1 + 5)
  row = find("</svg>grpo-k2</th>.*?</tr>", section)
  mean, _, _, gain, difference = re.findall(r"<td>\s*(\S*?)\s*<small>", row)[:5]
  assert 0.6 < float(mean) < 0.7 and gain.startswith("+") and difference.startswith("+")
  assert "&lt; 0.001" in row or re.search(r'class="best">0\.0\d\d', row)
  for words in ("by bootstrap", "Holm", "area to 20,480 rollouts", "hypervolume to KL 2"):
    assert words in section


def test_the_baseline_can_be_chosen(tmp_path, capsys):
  folder = fake_sweep.write(tmp_path / "quick", variants=("grpo-k2", "grpo-k8"))
  assert report.main([folder, "--baseline=grpo-k8"]) == 0
  assert "minus grpo-k8, paired" in read(os.path.join(folder, "report.html"))
  assert report.main([folder, "--baseline=k8"]) == 2
  assert "no variant 'k8'" in capsys.readouterr().err


def test_one_seed_is_judged_over_prompts_and_the_page_says_of_what(tmp_path):
  folder = fake_sweep.write(tmp_path / "one", variants=("grpo-k2", "grpo-k8"), seeds=(0,))
  fake_sweep.write_prompts(folder, {"grpo-k2-s0": 0.7, "grpo-k8-s0": 0.3})
  header = find("<header>.*?</header>", without_plotly(read(report.write(folder))))
  assert "over the 200 held-out prompts" in header and "not the algorithms" in header
  assert 'title="clearly below the best, over prompts">▼' in header


def test_two_seeds_have_their_n_but_no_interval(tmp_path):
  folder = fake_sweep.write(tmp_path / "quick", variants=("grpo-k2", "grpo-k8"), seeds=(0, 1))
  own = without_plotly(read(report.write(folder)))
  row = find("</svg>grpo-k8</th>.*?</tr>", find('<section id="statistics">.*?</section>', own))
  assert "±" not in row and " to " not in row and row.count("n=2") == 8
  assert 'class="mark" title' not in own


def test_accuracies_are_shown_where_there_is_no_reward(tmp_path):
  folder = fake_sweep.write(tmp_path / "quick", variants=("dpo-offline", "dpo-online"))
  for found in comparison.read(folder).runs:
    found.folder.truncate(-1)
    for step in range(4):
      row = {"step": step, "rollouts": 0, "tokens": 9 * step, "eval/kl": 0.1 * step}
      found.folder.append_metrics(row | {"eval/implied_accuracy": 0.5 + 0.1 * step})
  own = without_plotly(read(report.write(folder)))
  assert "Held-out accuracy while training" in own and "Implied accuracy: each variant" in own
  assert 'value="tokens"' in own and 'value="rollouts"' not in own  # of which there are none


def test_no_common_metric_is_one_line_and_still_a_page(tmp_path, capsys):
  folder = fake_sweep.write(tmp_path / "quick", variants=("grpo-k2", "grpo-k8"), seeds=(0,))
  for name, metric in (("grpo-k2-s0", "eval/accuracy"), ("grpo-k8-s0", "eval/reward")):
    run = RunFolder(f"{folder}/{name}")
    run.truncate(-1)
    run.append_metrics({"step": 1, metric: 0.5})
  assert report.main([folder]) == 0
  said = capsys.readouterr().err
  assert said.startswith("note: No two variants have an eval/ metric in common")
  assert said.count("\n") == 1
  assert "No two variants have an eval/ metric" in read(os.path.join(folder, "report.html"))


def test_the_curves_say_which_seconds_compare(page):
  curves = find('<section id="curves">.*?</section>', without_plotly(page))
  assert 'value="seconds"' in curves and "only runs trained the same way" in curves


def test_many_variants_keep_looks_apart_and_their_config_in_rows(tmp_path):
  names = [f"grpo-k8-{i}" for i in range(12)]
  run = fake_sweep.write_run(str(tmp_path), "grpo-k8", 0)
  for i, name in enumerate(names):
    shutil.copytree(run.path, tmp_path / name)
    config = run.read_config()["config"] | {"optimizer": {"learning_rate": 1e-4 * (i + 1)}}
    RunFolder(str(tmp_path / name)).create(config, digest="0badc0de", config_file="", variant=name)
  fake_sweep.write_sweep(str(tmp_path), [{"name": name, "variant": name} for name in names])
  result = comparison.read(str(tmp_path))
  looks = {(look.colour, look.dash) for _, look in plots.styled(result)}
  assert len(looks) == 12 and len({colour for colour, _ in looks}) == 6
  section = find(
    '<section id="config">.*?</section>', without_plotly(read(report.write(str(tmp_path))))
  )
  assert section.count("optimizer.learning_rate=") == 12
  assert "optimizer.learning_rate=0.0003<" in section


def test_a_folder_that_cannot_be_written_is_one_line(sweep, monkeypatch, capsys):
  def refuse(path, text):
    raise PermissionError(13, "Permission denied", path)

  monkeypatch.setattr(report, "write_atomically", refuse)
  assert report.main([sweep]) == 2
  said = "results.csv: Permission denied. Choose a folder that may be read and written"
  assert said in capsys.readouterr().err


@needs_chromium
def test_png_writes_the_main_plots_as_pictures(tmp_path, capsys):
  folder = fake_sweep.write(tmp_path / "quick", variants=("grpo-k2",), seeds=(0,))
  RunFolder(f"{folder}/grpo-k2-s0").mark("stopped")  # leaves the learning curves alone to draw
  assert report.main([folder, "--png"]) == 0
  page, *pictures = capsys.readouterr().out.partition("report: ")[2].split()
  names = ["curves.png", "curves-dark.png", "curves-greedy.png", "curves-greedy-dark.png"]
  assert [os.path.basename(path) for path in pictures] == names
  for path in pictures:
    with open(path, "rb") as file:
      assert file.read(8) == b"\x89PNG\r\n\x1a\n"


def test_png_without_a_browser_says_what_to_do(sweep, monkeypatch, capsys):
  monkeypatch.setenv("PATH", "")
  assert report.main([sweep, "--png"]) == 2
  assert "needs Chromium or Chrome" in capsys.readouterr().err
