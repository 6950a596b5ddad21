"""Many clients of the page where people choose: some that use it, some that keep it waiting."""

import asyncio
import contextlib
import json
import time

ROUNDS = 3  # that a client asks and chooses


def visit(port: int, asking: int, waiting: int) -> str:
  """All of them at once. Returns how long an answer took, and what became of the others."""
  return asyncio.run(_visit(port, asking, waiting))


async def _visit(port: int, asking: int, waiting: int) -> str:
  slow = [asyncio.create_task(_wait(port, kind)) for kind in range(waiting)]
  await asyncio.sleep(1)
  found = await asyncio.gather(*(_use(port, number) for number in range(asking)))
  pages, asked, chosen = ([t for times in found for t in times[kind]] for kind in range(3))
  ended = await asyncio.gather(*slow)
  return (
    f"{asking} clients: {len(chosen)} choices kept; seconds of 99 %: page {_most(pages)}, "
    f"answer {_most(asked)}, choice {_most(chosen)}; {waiting} slow ones hung up on after "
    f"{min(ended, default=0):.0f} to {max(ended, default=0):.0f} s"
  )


async def _use(port: int, number: int) -> tuple[list[float], list[float], list[float]]:
  """A person: gets the page, asks, chooses, asks anew. Seconds of each."""
  pages, asked, chosen = [], [], []
  for turn in range(ROUNDS):
    pages.append((await _request(port, number, "GET", "/"))[1])
    text = f"word{number % 7}{turn}>".translate(_LETTERS)
    about = {"model": "current", "n": 4, "messages": [{"role": "user", "content": text}]}
    answers, seconds = await _request(port, number, "POST", "/v1/chat/completions", about)
    asked.append(seconds)
    texts = [choice["message"]["content"].strip() for choice in answers["choices"]]
    if len(set(filter(None, texts))) > 1:
      choice = {"completion": answers["id"], "best": texts.index(max(texts, key=len))}
      chosen.append((await _request(port, number, "POST", "/v1/feedback", choice))[1])
  return pages, asked, chosen


_LETTERS = str.maketrans("0123456789", "abcdefghij")


async def _request(
  port: int, number: int, method: str, path: str, body: object = None
) -> tuple[dict, float]:
  start = time.monotonic()
  while True:
    # Each client has an address of its own, as Linux gives them on loopback: rates are by address.
    home = (f"127.1.{number // 250}.{number % 250 + 1}", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=home)
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    writer.write(head.encode() + content)
    answer = await reader.read()
    writer.close()
    status, _, rest = answer.partition(b"\r\n")
    if b" 200 " in status:
      text = rest.partition(b"\r\n\r\n")[2]
      return (json.loads(text) if path != "/" else {}), time.monotonic() - start
    if b" 429 " not in status and b" 503 " not in status:
      raise RuntimeError(f"{method} {path}: {answer[:300]!r}")
    await asyncio.sleep(1)  # as it is told to


async def _wait(port: int, kind: int) -> float:
  """Sends a part of a request and no more, or a byte now and then. Seconds until it is closed."""
  start = time.monotonic()
  reader, writer = await asyncio.open_connection("127.0.0.1", port)
  head = b"POST /v1/feedback HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
  writer.write((b"", head, head + b"Content-Length: 60000\r\n\r\n{")[kind % 3])
  with contextlib.suppress(OSError):
    while time.monotonic() - start < 120:
      try:
        async with asyncio.timeout(1):
          if not await reader.read(1 << 16):
            break
      except TimeoutError:
        if kind % 2:
          writer.write(b"x")
          await writer.drain()
  writer.close()
  return time.monotonic() - start


def _most(seconds: list[float]) -> str:
  return f"{sorted(seconds)[int(0.99 * (len(seconds) - 1))]:.1f}" if seconds else "-"
