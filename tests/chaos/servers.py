"""W&B's server as it is on a bad day: not there, silent, rejecting, slow, hanging up."""

import contextlib
import http.server
import socket
import threading
import time
from collections.abc import Generator

from tests.chaos.trials import Trial, Whole

MOODS = ("not there", "silent", 401, 403, 404, 429, 500, "nonsense", "slow", "hangs up")


def bad_wandb(trial: Trial, whole: Whole) -> None:
  """The work, mirrored in a W&B that does not work: it costs a message, and changes nothing."""
  mood = MOODS[trial.seed % len(MOODS)]
  trial.more.append("--config.wandb.mode=online")
  with _server(mood) as address:
    trial.environment |= {"WANDB_BASE_URL": address, "WANDB_API_KEY": "0" * 40}
    trial.injected += 1
    processes = trial.start()
    trial.let_end(processes)
  if "W&B: " not in trial.output():
    trial.wrong.append(f"W&B, {mood}: nothing was said")
  if any(process.code for process in processes):
    trial.wrong.append(f"W&B, {mood}: ended with {[process.code for process in processes]}")


@contextlib.contextmanager
def _server(mood: str | int) -> Generator[str]:
  """The address of a server in this mood."""
  if mood in ("not there", "silent"):
    with socket.socket() as server:
      server.bind(("127.0.0.1", 0))
      if mood == "silent":
        server.listen(64)
      yield f"http://127.0.0.1:{server.getsockname()[1]}"
    return

  class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
      if mood == "hangs up":
        self.connection.close()
        return
      if mood == "slow":
        time.sleep(2)
      self.send_response(mood if isinstance(mood, int) else 200)
      body = b'{"data": {' if mood == "nonsense" else b"{}"
      self.send_header("Content-Length", str(len(body)))
      self.end_headers()
      self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, format, *args):
      pass

    def handle(self):
      with contextlib.suppress(OSError, ValueError):
        super().handle()

  server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
  server.daemon_threads = True
  threading.Thread(target=server.serve_forever, daemon=True).start()
  try:
    yield f"http://127.0.0.1:{server.server_port}"
  finally:
    server.shutdown()
    server.server_close()
