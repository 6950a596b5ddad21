"""Who may ask a server of ours, how often, and how much at once: a wall around any ASGI app.

A request passes when all of this holds, else it is answered before the app sees it:

  its Host is one of `hosts`        another site's name that points here (DNS rebinding): 400
  its address asks less than `rate` a second, after a burst of `burst` requests: 429
  what writes comes from our pages  another site's page in the same browser: 403
  it shows the token                as `Authorization: Bearer TOKEN`, or as a cookie: 401
  its body is at most `largest`     413, said when the length is announced, or while it arrives

A browser shows the token once, as `/?token=TOKEN`, and gets a cookie that scripts cannot read and
that other sites' pages do not send. The token is compared in constant time; the cookie is not the
token, but what only its holder can make of it.
"""

import hashlib
import hmac
import time
import urllib.parse
from collections import OrderedDict
from collections.abc import Callable, Collection
from ipaddress import IPv6Address, ip_address

from starlette.datastructures import Headers, QueryParams
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CLIENTS = 4096  # addresses that are remembered; the one that asked longest ago goes first
_READING = ("GET", "HEAD", "OPTIONS")
_ENTERED = '<!doctype html><meta http-equiv="refresh" content="0;url=./"><title>…</title>'


class Refusal(Exception):
  """A request that does not pass: (status, what the client is told)."""

  def __init__(self, status: int, message: str, headers: dict[str, str] | None = None):
    super().__init__(message)
    self.status, self.message, self.headers = status, message, headers or {}


class Guarded:
  """An ASGI app that asks `app` for what passes.

  `hosts`: names under which it may be called; None: under any, which only a token makes safe.
  `token`: "" asks for none. `error(status, message)` makes the answer to what is refused, in the
  app's own shape; a body that grows too large is an HTTPException within the app. `largest(path)`
  is in bytes.
  """

  def __init__(
    self,
    app: ASGIApp,
    error: Callable[[int, str], Response],
    *,
    hosts: Collection[str] | None,
    token: str,
    largest: Callable[[str], int],
    rate: float,
    burst: float,
  ):
    self._app, self._error, self._hosts, self._token = app, error, hosts, token.encode()
    self._largest = largest
    self._rates = Rates(rate, burst, CLIENTS)
    mark = hmac.digest(self._token, b"cookie", "sha256").hex()
    self._cookie, self._mark = f"entered-{mark[:8]}", mark[8:]  # servers of one host share cookies

  async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":  # the server's own start and end
      await self._app(scope, receive, send)
      return
    largest = self._largest(scope["path"])
    try:
      entered = self._entered(scope, Headers(scope=scope), largest)
    except Refusal as refused:
      answer = self._error(refused.status, refused.message)
      # What is still to come of the body is nothing to wait for.
      answer.headers.update(refused.headers | {"connection": "close"})
      await answer(scope, receive, send)
      return
    if entered:
      await entered(scope, receive, send)
    else:
      await self._app(scope, _at_most(largest, receive), send)

  def _entered(self, scope: Scope, headers: Headers, largest: int) -> Response | None:
    """Returns the answer that makes a browser's token a cookie, or None: ask the app."""
    host = headers.get("host", "").lower()
    if self._hosts is not None and _name(host) not in self._hosts:
      raise Refusal(400, "This server has another name.")
    wait = self._rates.wait(_client(scope))
    if wait:
      raise Refusal(429, "Too many requests. Wait a moment.", {"retry-after": str(wait)})
    if scope["method"] not in _READING and not _of_our_pages(headers, host):
      raise Refusal(403, "Only this server's own page may do that.")
    if self._token and not self._shown(headers):
      shown = QueryParams(scope["query_string"]).get("token", "")
      if scope["method"] == "GET" and shown and self._is_token(shown):
        return self._with_cookie(secure=scope["scheme"] == "https")
      message = "This server asks for its token: open its address with ?token=… once."
      raise Refusal(401, message, {"www-authenticate": "Bearer"})
    announced = headers.get("content-length", "0")
    if not announced.isascii() or not announced.isdigit() or len(announced) > 18:
      raise Refusal(400, "That is no length.")
    if int(announced) > largest:
      raise Refusal(413, too_long(largest))
    return None

  def _shown(self, headers: Headers) -> bool:
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and self._is_token(token.strip()):
      return True
    cookies = (part.strip().partition("=") for part in headers.get("cookie", "").split(";"))
    marks = [value for name, _, value in cookies if name == self._cookie]
    return any(hmac.compare_digest(mark.encode(), self._mark.encode()) for mark in marks)

  def _is_token(self, text: str) -> bool:
    return hmac.compare_digest(_digest(text.encode(errors="replace")), _digest(self._token))

  def _with_cookie(self, secure: bool) -> Response:
    # A page that goes on by itself, no redirect: a browser that followed a link of another site
    # would not send a Strict cookie along with a redirect.
    headers = {
      "Cache-Control": "no-store",
      "Content-Security-Policy": "default-src 'none'",
      "Referrer-Policy": "no-referrer",
    }
    answer = HTMLResponse(_ENTERED, headers=headers)
    answer.set_cookie(
      self._cookie, self._mark, path=None, secure=secure, httponly=True, samesite="strict"
    )
    return answer


class Rates:
  """How often each address asks: a bucket each of `burst`, filled by `rate` a second."""

  def __init__(self, rate: float, burst: float, clients: int):
    self._rate, self._burst, self._clients = rate, burst, clients
    self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

  def wait(self, client: str) -> int:
    """Counts a request. Returns 0, or the seconds after which the next is welcome."""
    now = time.monotonic()
    left, since = self._buckets.pop(client, (self._burst, now))
    left = min(left + (now - since) * self._rate, self._burst)
    passes = left >= 1
    self._buckets[client] = (left - passes, now)
    if len(self._buckets) > self._clients:
      self._buckets.popitem(last=False)
    return 0 if passes else max(1, round((1 - left) / self._rate))


def too_long(largest: int) -> str:
  """Returns the sentence on a body of more bytes than `largest`."""
  size = f"{largest >> 20} MiB" if largest >= 1 << 20 else f"{largest >> 10} KiB"
  return f"Too long: more than {size}."


def _at_most(largest: int, receive: Receive) -> Receive:
  read = 0

  async def counted() -> Message:
    nonlocal read
    message = await receive()
    read += len(message.get("body", b""))
    if read > largest:
      raise HTTPException(413, too_long(largest), {"connection": "close"})
    return message

  return counted


def _of_our_pages(headers: Headers, host: str) -> bool:
  """Whether a request that writes comes from this server's page, or from no browser at all."""
  origin = headers.get("origin")
  if origin is not None:
    return urllib.parse.urlsplit(origin).netloc.lower() == host != ""
  return headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")


def _name(host: str) -> str:
  """Returns the host of a Host header, without its port."""
  return host.partition("]")[0].removeprefix("[") if host[:1] == "[" else host.partition(":")[0]


def _client(scope: Scope) -> str:
  """Returns a name for who asks: an address, or the network that one IPv6 customer has."""
  text = scope["client"][0] if scope.get("client") else ""
  try:
    address = ip_address(text)
  except ValueError:
    return text[:64]
  return str(int(address) >> 64) if isinstance(address, IPv6Address) else text


def _digest(token: bytes) -> bytes:
  return hashlib.sha256(token).digest()  # of one length: comparing tells nothing of the token's
