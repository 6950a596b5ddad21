"""The report's plots as PNG files for papers, drawn by an installed Chromium or Chrome."""

import os
import shutil
import subprocess
import tempfile

from comparing import page, plots, scores
from comparing.comparison import REWARD, SAMPLED, Comparison
from comparing.traces import Json
from training.errors import UserError

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_QUIET = (
  "--headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run --disable-sync "
  "--disable-background-networking --disable-component-update --virtual-time-budget=5000 "
  "--force-device-scale-factor=2"
).split()
_WIDTH, _MARGIN = 960, 32  # pixels


def write(result: Comparison, folder: str) -> list[str]:
  """Writes each main plot as NAME.png and NAME-dark.png, of the greedy reward as NAME-greedy.

  Returns the paths. Raises UserError if there is no browser, or it cannot draw.
  """
  browser = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
  if browser is None:
    raise UserError(
      "--png needs Chromium or Chrome on the PATH; the camera above each plot saves a PNG too"
    )
  drawn = (plots.learning_curves(result), plots.frontier(result), plots.final_rewards(result))
  present = scores.present(result)
  first, *others = [m for m in (SAMPLED, REWARD) if m in present] or [*present][:1] or [""]
  paths = []
  for plot in filter(None, drawn):
    for metric in (first, *others):
      figure = next((f for key, f in plot.figures.items() if key.split("|")[0] == metric), None)
      if figure:
        path = os.path.join(folder, plot.name + ("" if metric == first else f"-{present[metric]}"))
        paths += [_draw(browser, plot, figure, path, scheme) for scheme in ("light", "dark")]
  return paths


def _draw(browser: str, plot: plots.Plot, figure: Json, path: str, scheme: str) -> str:
  path += "-dark.png" if scheme == "dark" else ".png"
  size = f"--window-size={_WIDTH},{figure['layout']['height'] + _MARGIN}"
  preference = f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}"
  with tempfile.TemporaryDirectory() as scratch:
    source = os.path.join(scratch, "picture.html")
    with open(source, "w") as file:
      file.write(page.fill("picture.html.j2", plot=plot, figure=figure))
    command = [browser, *_QUIET, size, preference, f"--user-data-dir={scratch}/profile"]
    command += [f"--screenshot={os.path.abspath(path)}", f"file://{source}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
  if done.returncode or not os.path.exists(path):
    raise UserError(f"{browser} could not draw {path}: {done.stderr.strip()[-200:]}")
  return path
