"""The report in a real browser: drawn without complaint, by keyboard, in the dark, on paper."""

import base64
import re
import shutil
import time

import pytest

from experiments import report
from tests.comparing import browser, fake_sweep
from training.records.run_folder import RunFolder

pytestmark = pytest.mark.skipif(browser.CHROMIUM is None, reason="no chromium on the PATH")


@pytest.fixture(scope="module")
def url(tmp_path_factory):
  folder = fake_sweep.write(tmp_path_factory.mktemp("runs") / "quick")
  RunFolder(f"{folder}/grpo-k8-s1").mark("diverged", "train/loss is nan at step 7")
  return f"file://{report.write(folder)}"


@pytest.fixture(scope="module")
def tab():
  with browser.page() as page:
    yield page


@pytest.fixture
def page(tab, url):
  tab.ask("Emulation.setEmulatedMedia", media="", features=[])
  tab.ask(
    "Emulation.setDeviceMetricsOverride", width=1200, height=900, deviceScaleFactor=1, mobile=False
  )
  tab.console.clear()
  tab.open(url)
  tab.wait("document.querySelector('#final .main-svg') !== null")
  yield tab
  assert tab.console == []


def test_every_plot_is_drawn_whatever_is_chosen(page):
  page.run("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
  plots = page.run("document.querySelectorAll('.plot').length")
  page.wait(f"document.querySelectorAll('.canvas .main-svg:first-child').length === {plots}")
  assert plots == 6
  page.run("document.querySelectorAll('.plot .switch input').forEach((input) => input.click())")
  assert page.run("document.querySelector('#curves .xtitle').textContent") == "seconds"
  assert page.run("document.querySelector('#curves .ytitle').textContent") == "held-out pass@4"


def test_a_switch_leaves_the_prompts_on_which_policies_disagree(page):
  shown = "[...document.querySelectorAll('.prompt')].filter((e) => e.offsetParent).length"
  agreed = page.run("document.querySelectorAll('.prompt.agreed').length")
  every = page.run(shown)
  page.run(
    "document.querySelector('.prompt').classList.add('agreed')"
  )  # else they may all disagree
  page.run("document.querySelector('#disputed').focus()")
  page.ask("Input.dispatchKeyEvent", type="keyDown", key=" ", text=" ", windowsVirtualKeyCode=32)
  page.ask("Input.dispatchKeyEvent", type="keyUp", key=" ", windowsVirtualKeyCode=32)
  assert page.run(shown) == every - agreed - 1


def test_arrow_keys_choose_what_the_curves_are_against(page):
  page.run("document.querySelector('#curves input[value=rollouts]').focus()")
  seen = []
  for _ in range(4):
    seen.append(page.run("document.querySelector('#curves .xtitle').textContent"))
    page.press("ArrowRight")
  assert seen == ["rollouts", "steps", "tokens", "seconds"]


def test_the_switch_shows_one_table_of_statistics(page):
  shown = "[...document.querySelectorAll('#statistics table')].map((t) => t.offsetParent !== null)"
  assert page.run(shown) == [True, False]
  page.run("document.querySelector('#statistics input').focus()")
  page.press("ArrowRight")
  assert page.run(shown) == [False, True]


def test_the_dark_scheme_is_dark_and_legible(page):
  colours = (
    "[document.body, document.querySelector('.ranking small')].map((e) => getComputedStyle(e))"
  )
  dark = [{"name": "prefers-color-scheme", "value": "dark"}]
  for features in ([], dark):
    page.ask("Emulation.setEmulatedMedia", media="", features=features)
    paper, ink = page.run(f"{colours}.map((s, i) => i ? s.color : s.backgroundColor)")
    assert contrast(paper, ink) > 4.5
    assert (luminance(paper) < 0.05) == bool(features)
    page.wait(
      "getComputedStyle(document.querySelector('#curves .xtick text')).fill === "
      "getComputedStyle(document.body).color"
    )


def test_a_narrow_screen_has_plots_of_its_width_and_scrolls_tables_not_the_page(page, url):
  page.ask(
    "Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=False
  )
  page.open(url)
  page.wait("document.querySelector('#final .main-svg') !== null")
  assert page.run("document.documentElement.scrollWidth") <= 390
  assert (
    page.run("document.querySelector('#final .scroll:has(table)').tabIndex") == 0
  )  # by keyboard
  page.wait("document.querySelectorAll('.plot > .scroll > .canvas > .plot-container').length >= 5")
  widths = "[...document.querySelectorAll('.canvas svg.main-svg')].map((s) => s.clientWidth)"
  assert max(page.run(widths)) <= 390 - 2 * 18
  assert page.run("document.querySelector('.ranking').scrollWidth") <= 390 - 2 * 18
  second = "document.querySelector('#final thead').rows[0].cells[3].textContent"
  assert page.run(second) == "KL"  # after the variant, its seeds and its reward


def test_tables_are_sorted_by_a_click_on_a_header(page):
  order = (
    "[...document.querySelectorAll('.ranking tr[data-variant]')].map((r) => r.dataset.variant)"
  )
  ranked = page.run(order)
  kl = "[...document.querySelectorAll('.ranking th button')].find((b) => b.textContent === 'KL')"
  for sort, best in (("descending", "dpo-online"), ("ascending", "dpo-offline")):
    page.run(f"{kl}.click()")
    assert page.run(f"{kl}.closest('th').ariaSort") == sort and page.run(order)[0] == best
  assert sorted(page.run(order)) == sorted(ranked)


def test_a_plot_is_saved_as_svg_and_the_table_copied(page, tmp_path):
  page.ask("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
  page.run("document.querySelector('#curves .save').click()")
  end = time.monotonic() + 60
  while not list(tmp_path.glob("curves*.svg")):
    assert time.monotonic() < end, "no picture was saved"
    time.sleep(0.05)
  page.run("""navigator.clipboard.writeText = async (text) => { window.copied = text; }""")
  page.run("document.querySelectorAll('[data-copy]').forEach((button) => button.click())")
  page.wait("window.copied?.includes('tabular')")


def test_many_variants_can_be_filtered_and_hidden(tab, tmp_path):
  run = fake_sweep.write_run(str(tmp_path), "grpo-k8", 0)
  names = [f"grpo-{i}" for i in range(9)]
  for name in names:
    shutil.copytree(run.path, tmp_path / name)
  fake_sweep.write_sweep(str(tmp_path), [{"name": name, "variant": name} for name in names])
  tab.open(f"file://{report.write(str(tmp_path))}")
  tab.wait("document.querySelector('#final .main-svg') !== null")
  shown = (
    "[...document.querySelectorAll('#final tbody tr')].filter((r) => r.offsetParent).length - 1"
  )
  drawn = "document.querySelectorAll('#curves .legend .traces').length"
  assert (tab.run(shown), tab.run(drawn)) == (9, 9)
  assert tab.run("document.querySelector('#curves .switch input[name$=Spread]').value") == ""
  tab.run("document.querySelector('.ranking input').click()")
  tab.wait(f"{drawn} === 8")
  assert tab.run(shown) == 8
  tab.run("document.querySelector('.filter input').focus()")
  tab.type("grpo-3")
  tab.wait(f"{drawn} === 1")
  assert tab.run(shown) == 1


def test_it_prints_in_light_with_every_table_and_no_switches(page):
  page.ask(
    "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}]
  )
  pdf = base64.b64decode(page.ask("Page.printToPDF")["data"])
  assert pdf.startswith(b"%PDF") and 3 <= len(re.findall(rb"/Type /Page\b", pdf)) <= 12
  page.ask("Emulation.setEmulatedMedia", media="print", features=[])
  visible = "[...document.querySelectorAll('{}')].filter((e) => e.offsetParent).length"
  assert page.run(visible.format("#statistics table")) == 2
  assert page.run(visible.format(".switch")) == page.run(visible.format(".save")) == 0


def test_everything_has_a_name_for_those_who_do_not_see_it(page):
  assert page.run("document.documentElement.lang") == "en"
  assert page.run("document.querySelectorAll('main, h1').length") == 2
  levels = page.run("[...document.querySelectorAll('h1, h2, h3')].map((h) => +h.tagName[1])")
  assert levels == [1] + [2] * (len(levels) - 1)
  unnamed = "[...document.querySelectorAll('{}')].filter((e) => !({})).map((e) => e.outerHTML)"
  for what, has_name in (
    (".canvas", "e.role && e.getAttribute('aria-label')"),
    ("input", "e.closest('label').textContent.trim()"),
    ("fieldset", "e.querySelector('legend')"),
    ("section", "e.querySelector('h2')"),
    ("nav", "e.getAttribute('aria-label')"),
    ("nav a", "document.querySelector(e.getAttribute('href'))"),
    ("th", "e.scope && e.textContent.trim()"),
    ("main svg:not(.canvas svg)", "e.getAttribute('aria-hidden')"),
  ):
    assert page.run(unnamed.format(what, has_name)) == []
  ids = page.run("[...document.querySelectorAll('section')].map((s) => s.id)")
  assert len(ids) == len(set(ids))


def luminance(colour: str) -> float:
  """Of "rgb(r, g, b)", by WCAG."""
  parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
  linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
  light, dark = sorted((luminance(a), luminance(b)), reverse=True)
  return (light + 0.05) / (dark + 0.05)
