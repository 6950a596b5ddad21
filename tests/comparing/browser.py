"""Headless Chromium, driven over its debugging pipe: nothing to install but the browser."""

import contextlib
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
_QUIET = (
  "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
  "--disable-component-update --disable-sync --remote-debugging-pipe --window-size=1000,900"
).split()

_SILENT = 300  # seconds, after which it will not answer any more
_CODES = {"Enter": 13, "Tab": 9, "ArrowRight": 39}


class Page:
  """One tab. Chromium reads commands from descriptor 3 and writes to 4, each ended by a zero."""

  def __init__(self, to_browser: int, from_browser: int):
    self._to, self._from, self._number, self._rest = to_browser, from_browser, 0, b""
    self.console: list[str] = []
    target = self._ask("Target.createTarget", url="about:blank")["targetId"]
    attached = self._ask("Target.attachToTarget", targetId=target, flatten=True)
    self._session = attached["sessionId"]
    for domain in ("Page", "Runtime", "Log"):
      self.ask(f"{domain}.enable")
    self.ask("Emulation.setFocusEmulationEnabled", enabled=True)

  def ask(self, method: str, **params):
    return self._ask(method, self._session, **params)

  def open(self, url: str) -> None:
    self.ask("Page.navigate", url=url)
    self.wait("document.readyState === 'complete' && document.querySelector('h1') !== null")

  def run(self, script: str):
    """The value of an expression in the page."""
    found = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
    assert "exceptionDetails" not in found, found
    return found["result"].get("value")

  def wait(self, script: str, seconds: float = 60) -> None:
    """Until the expression holds."""
    end = time.monotonic() + seconds
    while not self.run(script):
      assert time.monotonic() < end, f"still not: {script}\n{self.run('document.body.innerText')}"
      time.sleep(0.05)

  def press(self, key: str) -> None:
    for kind in ("keyDown", "keyUp"):
      text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
      code = {"windowsVirtualKeyCode": _CODES[key]} if key in _CODES else {}
      self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, **text, **code)

  def type(self, text: str) -> None:
    self.ask("Input.insertText", text=text)

  def _ask(self, method: str, session: str = "", **params):
    self._number += 1
    message = {"id": self._number, "method": method, "params": params}
    message |= {"sessionId": session} if session else {}
    os.write(self._to, json.dumps(message).encode() + b"\0")
    while True:
      answer = self._read()
      if answer.get("id") == self._number:
        assert "error" not in answer, answer
        return answer["result"]
      if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
        self.console.append(json.dumps(answer["params"]))

  def _read(self) -> dict:
    while b"\0" not in self._rest:
      assert select.select([self._from], [], [], _SILENT)[0], f"no word in {_SILENT} s"
      part = os.read(self._from, 65536)
      assert part, "Chromium has ended"
      self._rest += part
    message, _, self._rest = self._rest.partition(b"\0")
    return json.loads(message)


@contextlib.contextmanager
def page() -> Iterator[Page]:
  assert CHROMIUM is not None
  read_by_browser, to_browser = os.pipe()
  from_browser, written_by_browser = os.pipe()

  pipes = (read_by_browser, written_by_browser)
  connected = f'exec "$@" 3<&{read_by_browser} 4>&{written_by_browser}'
  with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
    process = subprocess.Popen(
      ["bash", "-c", connected, "bash", CHROMIUM, *_QUIET, f"--user-data-dir={profile}"],
      pass_fds=pipes,
      stderr=subprocess.DEVNULL,
    )
    for pipe in pipes:
      os.close(pipe)
    try:
      yield Page(to_browser, from_browser)
    finally:
      process.kill()
      process.wait()
      os.close(to_browser)
      os.close(from_browser)
