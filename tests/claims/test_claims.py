"""The ledger's command: what it runs, keeps, says and draws; and that verdicts follow numbers."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import plotly.graph_objects as go
import pytest

from algorithms.dpo import dpo
from claims import (
  baselines,
  dpo_expansion,
  four_responses,
  kl_estimators,
  optimum,
  page,
  plots,
  results,
  sources,
  std_and_length,
  table,
)
from claims.claim import DOES_NOT_HOLD, HOLDS, Claim, Curve, Finding, Plot
from experiments import claims
from tests.experiments import commands
from training.errors import UserError
from training.estimates import Estimate

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""

# Claims that are quick to try: one that counts how often, one that fails, one with awkward numbers.
RIGGED = '''
import pathlib
import numpy as np
from training.errors import UserError
from claims.claim import HOLDS, Curve, Figure, Finding, Subclaim, Plot

def counted():
  """ "Counting <b>works</b>, and `code` does." (Nobody, 1999, eq. 1.)

  It is counted:

    n = n + 1 < 2
  """
  with open("tries.txt", "a") as file:
    file.write("once\\n")
  return Finding(HOLDS, "Counted 1.", [Figure("n", 1.0, 0.5, 1.5)], [])

def failing():
  """ "Nothing fails." (Somebody, "A title", 2000.)"""
  raise ValueError("no luck\\nat all")

def awkward():
  """ "Infinity is a number." (Everybody, 2001.)"""
  x = np.array([0.1, 1.0, 10.0])
  plots = [
    Plot("On logs", "x", "y", [Curve("a", x, x, x - 1, x + 1), Curve("b", x, -x)], True, True),
    Plot("In points", "x", "y", [Curve("</script>", [1.0, 2.0], [np.nan, 1.0], points=True)]),
  ]
  subclaims = [Subclaim("small", True), Subclaim("large", False)]
  return Finding("holds under x < 1", "Up to 1.", [Figure("n", np.inf)], plots, subclaims)
'''
NAMES = ("counted", "failing", "awkward")


@pytest.fixture
def ledger(tmp_path, monkeypatch):
  """A project of three rigged claims, in the working directory."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.syspath_prepend(tmp_path)
  monkeypatch.setattr(table, "CLAIMS", tuple(Claim(name, "rigged_claims") for name in NAMES))
  rewrite(tmp_path, RIGGED)
  yield tmp_path
  sys.modules.pop("rigged_claims", None)


def rewrite(folder, code):
  (folder / "rigged_claims.py").write_text(code)


def tries(ledger) -> int:
  path = ledger / "tries.txt"
  return len(path.read_text().splitlines()) if path.exists() else 0


def kept(name: str) -> dict:
  with open(f"runs/claims/{name}.json") as file:
    return json.load(file, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


def read_page() -> str:
  """The page's own text: scripts out, spaces joined."""
  with open("runs/claims/report.html") as file:
    return " ".join(re.sub(r"<script.*?</script>", "", file.read(), flags=re.S).split())


# --- the command ----------------------------------------------------------------------------------


def test_an_unknown_claim_is_an_error_with_the_nearest_name():
  with pytest.raises(UserError, match=r"no claim 'optimun'\. Did you mean optimum\?"):
    claims.main(["--only=optimun"])
  with pytest.raises(UserError, match=r"no claim 'x'\. The claims: dpo_expansion, "):
    claims.main(["--only=optimum,x"])


def test_a_folder_that_cannot_be_is_an_error(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(UserError, match="--out=.*file"):
    claims.main(["--only=optimum", f"--out={tmp_path}/file"])


def test_an_error_comes_at_once_and_without_jax():
  code = "import sys; from experiments import claims\ntry: claims.main(['--only=nothing'])\n"
  code += "except Exception: sys.exit(str([m for m in ('jax', 'plotly') if m in sys.modules]))"
  run = [sys.executable, "-c", code]

  def refused():
    assert subprocess.run(run, capture_output=True, text=True).stderr.strip() == "[]"

  assert commands.quickest(refused) < 0.6


def test_help_names_the_claims(capsys):
  with pytest.raises(SystemExit):
    claims.main(["--help"])
  said = capsys.readouterr().out
  assert "--only=..." in said and "claims: dpo_expansion, parallel_gradients" in said


def test_only_the_chosen_are_tried_and_all_are_on_the_page(ledger, capsys):
  assert claims.main(["--only=counted"]) == 0
  said = capsys.readouterr().out
  assert "counted: running  1 of 1" in said and "Counted 1." in said
  assert "report: runs/claims/report.html" in said
  assert not os.path.exists("runs/claims/failing.json")
  own = read_page()
  assert "Of 3 claims 1 holds, 2 are not tried yet." in own
  assert own.count('<section id="') == 3


def test_a_dry_run_lists_and_tries_nothing(ledger, capsys):
  assert claims.main(["--dry_run"]) == 0
  said = capsys.readouterr().out
  assert 'Nothing fails. (Somebody, "A title", 2000)' in said and "3 of 3 to try" in said
  assert tries(ledger) == 0 and not os.path.exists("runs")
  claims.main(["--only=counted"])
  capsys.readouterr()
  claims.main(["--dry_run"])
  assert "counted  holds  (kept)" in capsys.readouterr().out


def test_what_is_found_is_kept_until_the_code_changes(ledger, capsys):
  for _ in range(2):
    assert claims.main(["--only=counted"]) == 0
  assert tries(ledger) == 1
  rewrite(
    ledger, RIGGED.replace("import pathlib", "import pathlib  # not code").replace("1999", "1998")
  )
  claims.main(["--only=counted"])
  assert tries(ledger) == 1
  assert "Nobody, 1998" in read_page()  # the text is always today's
  rewrite(ledger, RIGGED.replace("n = n", "n=n").replace('"Counted 1."', '"Counted one."'))
  capsys.readouterr()
  claims.main(["--dry_run", "--only=counted"])
  assert "to try, its code has changed" in capsys.readouterr().out
  claims.main(["--only=counted"])
  assert tries(ledger) == 2


def test_again_tries_what_is_already_found(ledger):
  for _ in range(2):
    claims.main(["--only=counted", "--again"])
  assert tries(ledger) == 2


def test_a_finding_of_changed_code_is_shown_as_such(ledger):
  claims.main(["--only=counted"])
  rewrite(ledger, RIGGED.replace('"Counted 1."', '"Counted one."'))
  claims.main(["--only=awkward"])
  assert "Found by code that has changed since" in read_page()


def test_the_digest_follows_what_a_claim_imports(ledger):
  (ledger / "part.py").write_text("x = 1\n")
  rewrite(ledger, "import part\n" + RIGGED.replace('"Counted 1."', 'f"Counted {part.x}."'))
  before = sources.digest("rigged_claims", "counted")
  (ledger / "part.py").write_text("x = 22\n")
  assert sources.digest("rigged_claims", "counted") != before


def test_a_claim_is_not_tried_again_for_a_docstring_or_what_stands_beside_it(ledger):
  (ledger / "part.py").write_text("x = 1\n")
  code = "import part\n" + RIGGED.replace('"Counted 1."', 'f"Counted {part.x}."')
  rewrite(ledger, code)
  claims.main(["--only=counted"])
  (ledger / "part.py").write_text('"""A part."""\nx = 1  # one\ny = 2\n')
  rewrite(ledger, code.replace("It is counted:", "It is counted, so:") + "\ndef more(): return 1\n")
  claims.main(["--only=counted"])
  assert tries(ledger) == 1
  (ledger / "part.py").write_text("x = 22\n")
  sys.modules.pop("part")
  claims.main(["--only=counted"])
  assert tries(ledger) == 2


def test_a_failing_claim_is_named_and_the_others_go_on(ledger, capsys):
  assert claims.main([]) == 1
  said = " ".join(capsys.readouterr().out.split())
  assert "failing: failed 0.0 s ValueError: no luck (runs/claims/failing.log)" in said
  assert kept("counted")["finding"]["verdict"] == HOLDS
  assert kept("awkward")["finding"]["verdict"] == "holds under x < 1"
  with open("runs/claims/failing.log") as file:
    assert "Traceback" in file.read()
  assert "ValueError: no luck" in read_page()
  assert claims.main(["--only=failing"]) == 1  # it is tried again
  assert claims.main(["--only=counted"]) == 0


def test_a_repaired_claim_leaves_no_log(ledger):
  claims.main(["--only=failing"])
  rewrite(ledger, RIGGED.replace('raise ValueError("no luck\\nat all")', "return counted()"))
  sys.modules.pop("rigged_claims")
  assert claims.main(["--only=failing"]) == 0
  assert not os.path.exists("runs/claims/failing.log")


def test_an_interruption_keeps_what_was_found(ledger, capsys):
  rewrite(ledger, RIGGED.replace('raise ValueError("no luck\\nat all")', "raise KeyboardInterrupt"))
  assert claims.main([]) == 130
  assert "what has been found is kept" in capsys.readouterr().out
  assert kept("counted") and not os.path.exists("runs/claims/awkward.json")


def test_a_file_of_another_version_is_as_good_as_none(ledger):
  for text in ("{}", "not JSON", '{"digest": "", "seconds": 1, "finding": {"figures": []}}'):
    os.makedirs("runs/claims", exist_ok=True)
    with open("runs/claims/counted.json", "w") as file:
      file.write(text)
    assert results.kept(table.CLAIMS[0], "runs/claims").state == results.UNTRIED


def test_claims_json_has_everything(ledger):
  claims.main([])
  found = kept("claims")["claims"]
  assert [claim["name"] for claim in found] == list(NAMES)
  assert [claim["state"] for claim in found] == ["found", "failed", "found"]
  fields = {"name", "quote", "source", "method", "state", "seconds", "reason", "finding"}
  assert all(set(claim) == fields for claim in found)
  counted, failing, awkward = found
  assert counted["quote"] == "Counting <b>works</b>, and `code` does."
  assert counted["source"] == "Nobody, 1999, eq. 1"
  assert failing["finding"] is None and "no luck" in failing["reason"]
  assert set(awkward["finding"]) == {field.name for field in dataclasses.fields(Finding)}
  assert awkward["finding"]["figures"] == [{"name": "n", "value": None, "low": None, "high": None}]
  assert awkward["finding"]["plots"][0]["curves"][0]["x"] == [0.1, 1.0, 10.0]
  assert awkward["finding"]["subclaims"][1] == {"statement": "large", "holds": False}


# --- the page -------------------------------------------------------------------------------------


def test_the_page_says_the_verdict_in_words_and_shows_texts_as_text(ledger):
  claims.main([])
  own = read_page()
  assert not re.search(r"(src|href)=\"?(https?:)?//", own) and "url(" not in own
  assert '<span class="badge is-holds">holds</span>' in own
  assert '<span class="badge is-under">holds under x &lt; 1</span>' in own
  assert '<span class="badge is-failed">failed</span>' in own
  assert "“Counting &lt;b&gt;works&lt;/b&gt;, and `code` does.”" in own and "<b>works" not in own
  assert "<pre>n = n + 1 &lt; 2</pre>" in own and "<p>It is counted:</p>" in own
  assert "<td>1</td><td>0.5 to 1.5</td>" in own
  assert "Of 3 claims 1 holds, 1 holds under a condition, 1 could not be tried." in own
  assert own.count("<main>") == 1 and own.count("<h1>") == 1
  for canvas in re.findall(r'<div class="canvas"[^>]*>', own):
    assert "aria-label=" in canvas


def test_code_in_a_method_looks_like_code():
  assert page.blocks("Uses `dpo` & <b>.") == ["<p>Uses <code>dpo</code> &amp; &lt;b&gt;.</p>"]


@pytest.mark.parametrize("on_log", [False, True])
def test_every_figure_is_one_that_plotly_knows(on_log):
  x = np.geomspace(1e-9, 10, 20)
  band = Curve("band", x, x, x - 1, x + 1)
  dots = Curve("dots", [1.0, 2.0], [np.nan, 3.0], [0.5, 1.0], [1.5, 4.0], points=True)
  for curves in ([band], [band, dots], [dots] * 9):
    figure = plots.figure(Plot("title", "x", "y", curves, log_x=on_log, log_y=on_log))
    go.Figure(figure)  # raises on a field or value that Plotly does not have
    if on_log:
      filled = [trace for trace in figure["data"] if "fill" in trace]
      assert all(y > 0 for trace in filled for y in trace["y"])


@pytest.mark.parametrize(
  "number, text",
  [(0.50123, "0.5012"), (12500.0, "12,500"), (-2.2e-4, "−2.2e−04"), (3.0, "3"), (np.nan, "—")],
)
def test_numbers_are_short(number, text):
  assert page.value(number) == text


@pytest.mark.skipif(not CHROMIUM, reason="no chromium or google-chrome on the PATH")
def test_a_browser_draws_every_plot_without_complaint(ledger):
  claims.main([])
  count = "<script>setTimeout(() => console.log(`drawn ${document.querySelectorAll("
  count += "'.canvas .main-svg:first-child').length}`), 1000)</script></body>"
  with open("runs/claims/report.html") as file:
    (ledger / "tour.html").write_text(file.read().replace("</body>", count))
  options = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --enable-logging=stderr --virtual-time-budget=8000"
  ).split()
  options += [f"--user-data-dir={ledger}/profile", f"--screenshot={ledger}/page.png"]
  done = subprocess.run(
    [CHROMIUM, *options, f"file://{ledger}/tour.html"], capture_output=True, text=True, timeout=120
  )
  assert re.findall(r'CONSOLE.*?\] "(.*?)", source', done.stderr) == ["drawn 2"]


# --- the claims -----------------------------------------------------------------------------------


@pytest.mark.parametrize("claim", table.CLAIMS, ids=lambda claim: claim.name)
def test_every_claim_quotes_a_source_and_says_how_it_is_tried(claim):
  assert claim.quote.endswith(".") and claim.source and len(claim.method) > 200


def test_a_verdict_is_one_of_three():
  with pytest.raises(ValueError, match="verdict 'maybe'"):
    Finding("maybe", "", [], [])


def test_the_expansion_holds_only_with_an_error_of_the_fourth_order():
  z = np.concatenate([-np.geomspace(1 / 32, 8, 33)[::-1], np.geomspace(1 / 32, 8, 33)])
  loss = np.logaddexp(0, -z)
  for error, verdict in (
    (-(z**4) / 192, HOLDS),
    (z**3 / 192, DOES_NOT_HOLD),
    (z**4, DOES_NOT_HOLD),
  ):
    assert dpo_expansion.finding_of(z, loss, {"first": z**2, "second": error}).verdict == verdict


@pytest.mark.parametrize(
  "mean, others, verdict",
  [
    (lambda k: 1 - 1 / k, 1.0, HOLDS),
    (lambda k: 1.0, 1.0, DOES_NOT_HOLD),
    (lambda k: 1 - 1 / k, 1.1, DOES_NOT_HOLD),
  ],
)
def test_the_baselines_hold_only_at_their_scales(mean, others, verdict):
  scales = zip(baselines.LOSSES, (mean, lambda k: others, lambda k: 1.0), strict=True)
  measured = [
    baselines.Measured(name, k, Estimate(scale(k), 0.01, 200), 0.0, 1.0)
    for name, scale in scales
    for k in baselines.GROUP_SIZES
  ]
  assert baselines.finding_of(measured).verdict == verdict


def test_the_spread_amplifies_only_if_rare_prompts_weigh_more():
  p = std_and_length.SOLVE_RATES
  flat, steep = np.ones(len(p)), 1 / np.sqrt(p * (1 - p))
  n = std_and_length.LENGTHS
  one = np.ones(len(n))
  lengths = {
    "grpo": std_and_length.Lengths(8 / n, one, one),
    "dapo": std_and_length.Lengths(one, n / 8, 32 / (24 + n)),
    "dr_grpo": std_and_length.Lengths(one, n / 8, one),
  }

  def verdict(spread: dict, constant: np.ndarray, lengths=lengths) -> str:
    weights = {"grpo": spread, "dr_grpo": dict.fromkeys(spread, constant)}
    return std_and_length.finding_of(weights, lengths).verdict

  sizes = std_and_length.GROUP_SIZES
  assert verdict(dict.fromkeys(sizes, steep), flat) == HOLDS
  assert verdict(dict.fromkeys(sizes, flat), flat) == DOES_NOT_HOLD
  assert verdict(dict.fromkeys(sizes, steep), steep) == DOES_NOT_HOLD
  mixed = dict.fromkeys(sizes, flat) | {16: steep}
  assert verdict(mixed, flat) == "holds under groups of K = 16"
  equal = lengths | {"grpo": std_and_length.Lengths(one, n / 8, one)}
  assert verdict(dict.fromkeys(sizes, steep), flat, equal) == DOES_NOT_HOLD


def test_the_optimum_holds_only_if_both_roads_reach_it():
  def road(end: float) -> optimum.Road:
    p = np.full(8, 1 / 8)
    return optimum.Road(0.5, np.array([0.5, end]), p, p)

  data = {n: Estimate(3 / n**0.5, 0.001, 20) for n in optimum.DATA_SIZES}
  stuck = {n: Estimate(0.1, 0.001, 20) for n in optimum.DATA_SIZES}
  assert optimum.finding_of([road(1e-6)], [road(1e-6)], data).verdict == HOLDS
  assert optimum.finding_of([road(1e-2)], [road(1e-6)], data).verdict == DOES_NOT_HOLD
  assert optimum.finding_of([road(1e-6)], [road(1e-2)], data).verdict == DOES_NOT_HOLD
  assert optimum.finding_of([road(1e-6)], [road(1e-6)], stuck).verdict == DOES_NOT_HOLD


def test_the_four_responses_hold_only_where_all_three_parts_do():
  steps, seeds = four_responses.PAIRS, four_responses.SEEDS
  spread = np.random.default_rng(0).normal(0, 0.01, seeds)

  def course(beta: float, kl: float, order: float) -> four_responses.Course:
    rising = np.linspace(0, kl, steps)[:, None] * np.ones(seeds) + spread
    in_order = np.broadcast_to(np.arange(seeds) < order * seeds, (steps, seeds))
    return four_responses.Course(beta, rising, rising, in_order)

  good = [course(0.1, 1.3, 1.0), course(0.5, 0.8, 0.95), course(2.0, 0.1, 0.5)]
  far = [*good[:2], course(2.0, 0.5, 0.5)]
  near = [course(0.1, 0.2, 1.0), *good[1:]]
  muddled = [good[0], course(0.5, 0.8, 0.5), good[2]]
  assert four_responses.finding_of({"a": good, "b": far}).verdict == HOLDS
  assert four_responses.finding_of({"a": far, "b": good}).verdict == "holds under b"
  for bad in (far, near, muddled):
    found = four_responses.finding_of({"a": bad})
    assert found.verdict == DOES_NOT_HOLD
    assert [subclaim.holds for subclaim in found.subclaims].count(False) == 1


def test_a_step_of_the_bandit_is_a_step_down_dpo():
  def loss(logits: jax.Array) -> jax.Array:
    logps = jax.nn.log_softmax(logits)[jnp.array([3, 0])][None, :, None]
    ref_logps = jnp.full((1, 2, 1), -jnp.log(4.0))
    mask = jnp.ones((1, 2, 1), bool)
    return dpo(logps, ref_logps, jnp.array([[1.0, 0.0]]), mask, beta=0.5)[0]

  logits = np.array([0.3, -0.2, 0.1, 0.5], np.float32)
  (push,) = 0.5 * four_responses.sigmoid(-0.5 * (logits[3:] - logits[:1]))
  np.testing.assert_allclose(-jax.grad(loss)(logits), [-push, 0, 0, push], atol=1e-6)


def test_the_kl_estimators_hold_only_with_the_claimed_biases_gradients_and_variances():
  ones = np.ones((2, 3))
  kl = ones * [0.01, 0.1, 1.0]
  claimed = kl_estimators.Exact(
    kl=kl,
    bias={"k1": 0 * kl, "k2": 0.1 * kl, "k3": 0 * kl},
    std={"k1": 2 * kl, "k2": kl, "k3": kl},
    size={"k1": 0 * kl, "k2": ones, "k3": ones},
    off_reverse={"k1": ones, "k2": 0 * kl, "k3": 0.5 * ones},
    off_forward={"k1": ones, "k2": 0.5 * ones, "k3": 0 * kl},
    off_policy={"k1": ones, "k2": 0.5 * ones, "k3": ones, "weighted_k3": 0 * kl},
  )

  def sure(values: dict[str, float]) -> dict[str, Estimate]:
    return {name: Estimate(value, 0.01, 200) for name, value in values.items()}

  drawn = kl_estimators.Sampled(
    kl=0.5,
    value=sure({"k1": 0.5, "k2": 0.4, "k3": 0.5}),
    along_reverse=sure({"k1": 0.0, "k2": 1.0, "k3": 1.2}),
    along_forward=sure({"k1": 0.0, "k2": 0.8, "k3": 1.0}),
  )
  wide = dataclasses.replace(claimed, std=claimed.std | {"k3": kl * [1, 1, 3]})
  biased = dataclasses.replace(claimed, bias=claimed.bias | {"k3": 0.1 * kl})
  astray = dataclasses.replace(claimed, off_forward=claimed.off_forward | {"k3": 0.1 * ones})
  unweighted = dataclasses.replace(
    claimed, off_policy=claimed.off_policy | {"weighted_k3": 0.1 * ones}
  )
  disagreeing = dataclasses.replace(drawn, value=drawn.value | sure({"k1": 0.6}))
  assert kl_estimators.finding_of(claimed, drawn).verdict == HOLDS
  assert kl_estimators.finding_of(wide, drawn).verdict == "holds under a KL below 1 nats"
  assert kl_estimators.finding_of(biased, drawn).verdict == DOES_NOT_HOLD
  assert kl_estimators.finding_of(astray, drawn).verdict == DOES_NOT_HOLD
  assert kl_estimators.finding_of(unweighted, drawn).verdict == DOES_NOT_HOLD
  assert kl_estimators.finding_of(claimed, disagreeing).verdict == DOES_NOT_HOLD


def test_a_real_claim_from_the_command_to_the_page(tmp_path):
  assert claims.main(["--only=four_responses", f"--out={tmp_path}"]) == 0
  with open(tmp_path / "four_responses.json") as file:
    finding = json.load(file)["finding"]
  assert finding["verdict"] == "holds under η = 0.25/β"
  assert len(finding["subclaims"]) == 9 and len(finding["plots"]) == 6
  with open(tmp_path / "report.html") as file:
    assert "holds under η = 0.25/β" in file.read()


@pytest.mark.slow
@pytest.mark.parametrize(
  "name, verdict",
  [
    ("dpo_expansion", HOLDS),
    ("baselines", HOLDS),
    ("std_and_length", "holds under groups of K = 8, 16, 64"),
    ("maximum_likelihood", HOLDS),
    ("group_size", "holds under 1.3 to 2.6 times the rollouts"),
    ("link_functions", HOLDS),
    ("optimum", HOLDS),
    ("kl_estimators", "holds under a KL below 0.098 nats"),
  ],
)
def test_the_ledger_still_says_so(name, verdict):
  claim = next(claim for claim in table.CLAIMS if claim.name == name)
  assert claim.run().verdict == verdict
