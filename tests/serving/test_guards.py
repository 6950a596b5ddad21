"""The wall around our servers, before a small app of its own: real requests, real connections."""

import asyncio
import contextlib
import socket
import threading
import time
import types

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from serving.access import deadlines, guards, listening
from training.errors import UserError

TOKEN = "a" * 31 + "b"


def error(status, message):
  return JSONResponse({"error": message}, status)


BURST = 200


def guarded(*, hosts=("here",), token="", largest=lambda path: 1000):
  async def show(request):
    return JSONResponse("page")

  async def write(request):
    return JSONResponse(len(await request.body()))

  server = Starlette(routes=[Route("/", show), Route("/write", write, methods=["POST"])])
  about = {"hosts": hosts, "token": token, "rate": 20.0, "burst": float(BURST)}
  return guards.Guarded(server, error, largest=largest, **about)


def client(app, address="10.0.0.1"):
  transport = httpx.ASGITransport(app=app, client=(address, 1))
  return httpx.AsyncClient(transport=transport, base_url="http://here:8600")


def asked(app, method, path, **options):
  async def ask():
    async with client(app) as one:
      return await one.request(method, path, **options)

  return asyncio.run(ask())


# --- who ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
  ("host", "status"),
  [("here", 200), ("HERE:1", 200), ("evil.example", 400), ("", 400), ("here.evil.example", 400)],
)
def test_only_under_a_name_of_this_host(host, status):
  assert asked(guarded(), "GET", "/", headers={"host": host}).status_code == status


@pytest.mark.parametrize(
  ("headers", "status"),
  [
    ({}, 200),  # no browser
    ({"origin": "http://here:8600"}, 200),
    ({"origin": "https://here:8600"}, 200),  # behind a proxy that speaks TLS
    ({"origin": "http://here"}, 403),  # another server of this host
    ({"origin": "http://evil.example"}, 403),
    ({"origin": "http://here:8600.evil.example"}, 403),
    ({"origin": "null"}, 403),
    ({"origin": ""}, 403),
    ({"sec-fetch-site": "cross-site"}, 403),
    ({"sec-fetch-site": "same-site"}, 403),
  ],
)
def test_another_sites_page_cannot_write(headers, status):
  assert asked(guarded(), "POST", "/write", headers=headers).status_code == status


@pytest.mark.parametrize(
  ("headers", "status"),
  [
    ({}, 401),
    ({"authorization": f"Bearer {TOKEN}"}, 200),
    ({"authorization": f"bearer  {TOKEN}"}, 200),
    ({"authorization": f"Basic {TOKEN}"}, 401),
    ({"authorization": f"Bearer {TOKEN}x"}, 401),
    ({"authorization": f"Bearer {TOKEN[:-1]}"}, 401),
    ({"authorization": "Bearer "}, 401),
    ({"authorization": b"Bearer \xff\xfe"}, 401),
    ({"cookie": TOKEN}, 401),
    ({"cookie": "a; =; entered-=" + TOKEN}, 401),
  ],
)
def test_the_token_is_asked_for(headers, status):
  answer = asked(guarded(token=TOKEN), "GET", "/", headers=headers)
  assert answer.status_code == status and TOKEN not in answer.text + str(answer.headers)


def test_a_browser_shows_the_token_once_and_then_a_cookie_of_which_it_cannot_be_made():
  app = guarded(token=TOKEN)

  async def visit():
    async with client(app) as one:
      assert (await one.get(f"/?token={TOKEN[:-1]}c")).status_code == 401
      assert (await one.post(f"/write?token={TOKEN}")).status_code == 401
      entered = await one.get(f"/?token={TOKEN}")
      return entered, await one.get("/"), await one.post("/write", content=b"abc")

  entered, page, written = asyncio.run(visit())
  assert page.json() == "page" and written.json() == 3
  cookie = entered.headers["set-cookie"]
  assert "HttpOnly" in cookie and "SameSite=strict" in cookie and TOKEN not in cookie
  assert 'content="0;url=./"' in entered.text and TOKEN not in entered.text
  other = guarded(token="c" * 32)  # another server of the host is shown the cookie, too
  assert asked(other, "GET", "/", headers={"cookie": cookie.partition(";")[0]}).status_code == 401


def args(**given):
  flags = {name: default for name, (default, _) in listening.FLAGS.items()}
  return types.SimpleNamespace(**(flags | given))


def test_beyond_loopback_a_token_or_a_word(tmp_path):
  file = tmp_path / "token"
  file.write_text(TOKEN + "\n")
  for host in ("127.0.0.1", "::1", "localhost", "127.8.8.8"):
    assert listening.token_of(args(host=host)) == ""
  for host in ("0.0.0.0", "::", "10.0.0.1", "box.example", ""):
    with pytest.raises(UserError, match="--no_token"):
      listening.token_of(args(host=host))
    assert listening.token_of(args(host=host, no_token=True)) == ""
    assert listening.token_of(args(host=host, token=f"@{file}")) == TOKEN
  for poor in ("secret", "a" * 15, "a b" * 10, "é" * 20, "?&" * 10):
    with pytest.raises(UserError, match="16 letters") as problem:
      listening.token_of(args(token=poor))
    assert poor not in str(problem.value)
  for wrong in ({"port": 65536}, {"token": TOKEN, "no_token": True}, {"token": "@/nowhere"}):
    with pytest.raises(UserError):
      listening.token_of(args(**wrong))


def test_a_port_in_use_is_said_before_a_model_is_loaded():
  listening.check_free(args(port=0))
  with socket.create_server(("127.0.0.1", 0)) as taken:
    with pytest.raises(UserError, match=r"already in use\. Give another --port") as problem:
      listening.check_free(args(port=taken.getsockname()[1]))
    assert "while" not in str(problem.value)


def test_any_name_only_with_a_token_or_where_the_address_has_none():
  assert listening.names("127.0.0.1", "") == {"127.0.0.1", "localhost", "::1"}
  assert listening.names("box.example", "") == {"box.example", "127.0.0.1", "localhost", "::1"}
  assert listening.names("127.0.0.1", TOKEN) is listening.names("0.0.0.0", "") is None


# --- how much -------------------------------------------------------------------------------------


def test_one_address_that_asks_too_often_waits_and_others_do_not():
  app = guarded()

  async def flood():
    async with client(app) as one, client(app, "10.0.0.2") as two:
      codes = [(await one.get("/")).status_code for _ in range(BURST + 40)]
      refused = await one.get("/")
      return codes, refused, (await two.get("/")).status_code

  codes, refused, other = asyncio.run(flood())
  assert codes[:BURST] == [200] * BURST and other == 200
  assert refused.status_code == 429 and refused.headers["retry-after"] == "1"


def test_addresses_that_are_remembered_are_few():
  rates = guards.Rates(1.0, 2.0, clients=3)
  assert [rates.wait("a") for _ in range(3)] == [0, 0, 1]
  for other in "bcd":
    rates.wait(other)
  assert len(rates._buckets) == 3 and "a" not in rates._buckets


async def pieces(count):
  for _ in range(count):
    yield b"x" * 100


def test_a_long_body_is_refused_by_its_length_or_while_it_arrives():
  app = guarded(largest=lambda path: 1024)
  assert asked(app, "POST", "/write", content=b"x" * 1024).json() == 1024
  for content in (b"x" * 1025, pieces(11)):  # the second has no length
    answer = asked(app, "POST", "/write", content=content)
    assert answer.status_code == 413, answer.text
  for length in ("-1", "1e3", "9" * 40, ""):
    answer = asked(app, "POST", "/write", headers={"content-length": length}, content=pieces(1))
    assert answer.status_code == 400
  of_path = guarded(largest=lambda path: {"/write": 2048}.get(path, 0))
  assert asked(of_path, "POST", "/write", content=b"x" * 1025).status_code == 200


# --- how long -------------------------------------------------------------------------------------


@contextlib.contextmanager
def served(app):
  """The app behind uvicorn, in a thread: yields its port."""
  with socket.create_server(("127.0.0.1", 0)) as listener:
    server = uvicorn.Server(uvicorn.Config(app, http=deadlines.WithDeadline, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
      yield listener.getsockname()[1]
    finally:
      server.should_exit = True
      thread.join()


def opened(port, sent=b""):
  one = socket.create_connection(("127.0.0.1", port), timeout=30)
  one.sendall(sent)
  return one


def closed(one):
  """Whether the server hangs up on a client that sends no more."""
  with contextlib.suppress(ConnectionResetError):
    while one.recv(65536):
      pass
  one.close()
  return True


HEAD = b"POST /write HTTP/1.1\r\nHost: here\r\nContent-Length: 900\r\n"


def test_clients_that_keep_the_server_waiting_are_hung_up_on(monkeypatch):
  monkeypatch.setattr(deadlines, "PATIENCE", 0.3)
  app = guarded(hosts=None, largest=lambda path: 1 << 30)
  with served(app) as port:
    silent = opened(port)
    in_the_head = opened(port, HEAD)
    in_the_body = opened(port, HEAD + b"\r\nabc")
    second = opened(port, b"GET / HTTP/1.1\r\nHost: here\r\n\r\nGET / HT")
    for one in (silent, in_the_head, in_the_body, second):
      assert closed(one)
    drip = opened(port, HEAD + b"\r\n")
    with pytest.raises(OSError):  # it sends, but a byte now and then
      for _ in range(300):
        drip.sendall(b"x")
        time.sleep(0.05)


def test_a_slow_but_steady_upload_and_a_slow_answer_are_waited_for(monkeypatch):
  monkeypatch.setattr(deadlines, "PATIENCE", 2.0)
  monkeypatch.setattr(deadlines, "SLOWEST", 400)

  async def write(request):
    await asyncio.sleep(3)
    return JSONResponse(len(await request.body()))

  with served(Starlette(routes=[Route("/write", write, methods=["POST"])])) as port:
    one = opened(port, b"POST /write HTTP/1.1\r\nHost: here\r\nContent-Length: 2000\r\n\r\n")
    for _ in range(10):
      time.sleep(0.3)
      one.sendall(b"x" * 200)
    assert b"200 OK" in one.recv(1000)


def test_what_keeps_waiting_makes_room(monkeypatch):
  monkeypatch.setattr(deadlines, "MOST", 20)
  with served(guarded(hosts=None)) as port:
    slow = [opened(port, HEAD) for _ in range(60)]
    for _ in range(5):
      assert httpx.get(f"http://127.0.0.1:{port}/").json() == "page"
    assert all(closed(one) for one in slow[:20])
