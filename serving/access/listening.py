"""Where a server of ours listens: its flags, what they must say together, and the server itself.

A server listens on loopback, where no token is asked for unless one is given. Elsewhere it needs
--token, or --no_token, which is typed on purpose. uvicorn is imported by `serve` alone.
"""

import errno
import ipaddress
import os
import socket
from collections.abc import Collection

from training.errors import UserError

FLAGS = {
  "host": ("127.0.0.1", "the address to listen on; others than loopback need --token"),
  "port": (8600, "the port to listen on; 0: any that is free"),
  "token": (
    "",
    "what clients must show, 16 characters or more; @FILE: what that file holds, unseen by `ps`",
  ),
  "no_token": (False, "whoever reaches --host may use this server, and what it costs"),
}
SHORTEST = 16  # characters of a token


def token_of(args) -> str:
  """Returns the token that clients must show, "" for none, after a check of all of FLAGS.

  UserError: a port that is none, a host beyond loopback without a word on tokens, a poor token.
  """
  if not 0 <= args.port < 65536:
    raise UserError(f"--port={args.port}: from 0 to 65535")
  token = _read(args.token[1:]) if args.token.startswith("@") else args.token
  if token and args.no_token:
    raise UserError("give --token or --no_token")
  if token and (len(token) < SHORTEST or not token.isascii() or not token.isalnum()):
    raise UserError(
      f"--token: {SHORTEST} letters and digits or more, such as those of `openssl rand -hex 16`"
    )
  if not token and not args.no_token and not is_loopback(args.host):
    raise UserError(
      f"--host={args.host}: others could use this server. Give --token=@FILE (FILE holds what they"
      " must show), or --no_token"
    )
  return token


def check_free(args) -> None:
  """Listens and stops again: UserError if there is no listening, before a model is loaded."""
  _socket(args).close()


def names(host: str, token: str) -> Collection[str] | None:
  """Returns the names under which the server may be called (see guards); None: any."""
  anywhere = host in ("0.0.0.0", "::", "")
  return None if token or anywhere else {host.lower(), "localhost", "127.0.0.1", "::1"}


def is_loopback(host: str) -> bool:
  """Whether only this machine reaches a server that listens there."""
  try:
    return ipaddress.ip_address(host).is_loopback
  except ValueError:
    return host == "localhost"


def serve(app, args, about: str) -> None:
  """Serves a guarded app until the process is told to end. Prints its address, and `about`.

  UserError: there is no listening there.
  """
  import uvicorn

  from serving.access.deadlines import WithDeadline

  listening = _socket(args)
  host = f"[{args.host}]" if ":" in args.host else args.host
  secret = "/?token=…" if args.token else ""  # itself it is printed nowhere
  print(f"http://{host}:{listening.getsockname()[1]}{secret}  {about}", flush=True)
  # No access log: addresses may hold the token. Nobody's rubbish is worth a line of ours.
  settings = uvicorn.Config(
    app, http=WithDeadline, ws="none", log_level="error", access_log=False,
    timeout_graceful_shutdown=10,
  )  # fmt: skip
  uvicorn.Server(settings).run(sockets=[listening])


def _socket(args) -> socket.socket:
  family = socket.AF_INET6 if ":" in args.host else socket.AF_INET
  try:
    return socket.create_server((args.host, args.port), family=family, backlog=2048)
  except OSError as error:
    why = (error.strerror or str(error)).partition(" (while")[0]
    hint = ". Give another --port, or 0 for any" if error.errno == errno.EADDRINUSE else ""
    raise UserError(f"--host={args.host} --port={args.port}: {why}{hint}") from None


def _read(path: str) -> str:
  try:
    with open(os.path.expanduser(path), encoding="utf-8") as file:
      return file.read(1 << 16).strip()
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(f"--token=@{path}: {getattr(error, 'strerror', '') or error}") from None
