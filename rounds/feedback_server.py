"""The server of the page on which people choose: three addresses.

  GET  /            the page
  POST /api/ask     {"text", "after": the offer the conversation goes on from, or null}
                    -> {"offer", "left", "right", "cut": [left, right], "comparable"}
  POST /api/choose  {"offer", "choice": "left" | "right" | "tie"} -> {"count"}

A request that cannot be served is answered with a status of 4xx or 5xx and {"error": a sentence
that the page shows}. Who may ask is in guards.py. Only JSON is taken, which another site's page in
the same browser cannot send.
"""

import os
import secrets
from collections.abc import Collection
from typing import Protocol, runtime_checkable

import anyio
import anyio.to_thread
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from rounds.feedback_store import Choice, FeedbackStore, Messages, Refused
from rounds.guards import Guarded
from rounds.pages import page_of

LARGEST = 64 * 1024  # bytes of a request
MOST_WAITING = 256  # people who wait for an answer
_PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "feedback_page.html")


class Ask(BaseModel):
  text: str
  after: str | None = Field(default=None, max_length=64)


class Choose(BaseModel):
  offer: str = Field(max_length=64)
  choice: Choice


@runtime_checkable
class Answers(Protocol):
  """The methods that the server needs of a policy (`served_policy.ServedPolicy`)."""

  @property
  def chats(self) -> bool: ...

  def answer(self, messages: Messages) -> dict: ...


def app(
  store: FeedbackStore, policy: Answers, hosts: Collection[str] | None, token: str = ""
) -> Guarded:
  """Makes the server; `hosts` and `token` as in `guards.Guarded`."""
  server = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
  server.add_exception_handler(Refused, _refused)
  server.add_exception_handler(RequestValidationError, _not_understood)
  server.add_exception_handler(HTTPException, _not_understood)
  page, headers = page_of(_PAGE, policy.chats)

  @server.get("/")
  async def show() -> HTMLResponse:
    return HTMLResponse(page, headers=headers)

  one_at_a_time, waiting = anyio.CapacityLimiter(1), 0

  @server.post("/api/ask", dependencies=[Depends(_only_json)])
  async def ask(asked: Ask) -> dict:
    # The policy writes one answer at a time. Who waits for it takes no thread: choices, which are
    # quick, and the page need those.
    nonlocal waiting
    if waiting >= MOST_WAITING:
      raise Refused(503, "Too many people are asking just now. Try again in a minute.")
    waiting += 1
    try:
      return await anyio.to_thread.run_sync(_answer, asked, limiter=one_at_a_time)
    finally:
      waiting -= 1

  def _answer(asked: Ask) -> dict:
    text = _clean(asked.text)
    messages = [*store.messages_after(asked.after), {"role": "user", "content": text}]
    if not policy.chats:
      messages = messages[-1:]
    offer = policy.answer(messages) | {"id": secrets.token_hex(8), "messages": messages}
    offer |= {"left": secrets.randbelow(2)}
    store.add_offer(offer)
    order = (offer["left"], 1 - offer["left"])
    left, right = (offer["responses"][i] for i in order)
    cut = [not offer["finished"][i] for i in order]
    return {"offer": offer["id"], "left": left, "right": right, "cut": cut} | {
      "comparable": offer["comparable"]
    }

  @server.post("/api/choose", dependencies=[Depends(_only_json)])
  def choose(chosen: Choose) -> dict:
    store.choose(chosen.offer, chosen.choice)
    return {"count": store.count}

  return Guarded(server, _error, hosts=hosts, token=token, largest=LARGEST)


def _clean(text: str) -> str:
  try:
    text.encode()
  except UnicodeEncodeError:
    raise Refused(422, "The text is not valid Unicode.") from None
  text = text.replace("\r\n", "\n").replace("\0", "").strip()
  if not text:
    raise Refused(422, "Write something first.")
  return text


async def _only_json(request: Request) -> None:
  if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
    raise HTTPException(415, "Only JSON is taken.")


def _refused(request: Request, refusal: Exception) -> JSONResponse:
  del request
  assert isinstance(refusal, Refused)
  return _error(refusal.status, str(refusal))


def _not_understood(request: Request, problem: Exception) -> JSONResponse:
  del request
  status = problem.status_code if isinstance(problem, HTTPException) else 422
  messages = {400: "That is no JSON in UTF-8.", 404: "There is nothing here."}
  ours = problem.detail if isinstance(problem, HTTPException) and status in (413, 415) else None
  return _error(status, ours or messages.get(status, "That was not understood."))


def _error(status: int, message: str) -> JSONResponse:
  return JSONResponse({"error": message}, status)
