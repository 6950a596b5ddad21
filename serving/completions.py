"""POST /v1/chat/completions: from a request to its answers, whole or as they grow."""

import asyncio
import json
import secrets
import sys
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from serving import chat_request
from serving.answer import Answer
from serving.batches import Row
from serving.chat import Asked, Chat
from serving.chat_request import ChatRequest
from serving.errors import ApiError, invalid, not_found
from serving.policies import CURRENT, Policies
from serving.state import State
from tasks.rows.row import prompt_of

LOOK = 1.0  # seconds between two looks whether the client is still there


class Completions:
  """Answers requests with the deployment's policies, and keeps answers that can be compared."""

  def __init__(self, policies: Policies, chat: Chat, state: State):
    self._policies, self._chat, self._state = policies, chat, state

  async def create(self, request: Request, body: Mapping[str, Any]) -> Response:
    """The response, or a stream of its pieces. ApiError for what cannot be answered."""
    asked_for = chat_request.read(body)
    loop = asyncio.get_running_loop()
    # In a thread: the names are read from files, and a long text takes its time to encode.
    completion = await run_in_threadpool(_Completion, self._policies, asked_for, loop)
    self._chat.ask(completion.asked)
    if asked_for.stream:
      stream = self._stream(completion)
      return StreamingResponse(stream, headers={"Cache-Control": "no-store"}, media_type=_EVENTS)
    try:
      async for _ in _pieces(completion, request):
        pass
    finally:
      completion.asked.is_left = True
    if not completion.asked.is_done:  # the client is gone, and nobody knows these answers
      return Response(status_code=499)
    await self._keep(completion)
    return JSONResponse(completion.whole())

  async def _stream(self, completion: "_Completion") -> AsyncIterator[str]:
    try:
      for answer in completion.asked.answers:
        yield completion.event(answer.index, {"role": "assistant", "content": ""})
      async for index, piece, log_probs, finish_reason in _pieces(completion, None):
        if piece or log_probs:
          yield completion.event(index, {"content": piece}, log_probs)
        if finish_reason:
          yield completion.event(index, {}, None, finish_reason)
      await self._keep(completion)
      if completion.request.stream_usage:
        yield _event(completion.about("chat.completion.chunk") | {"choices": []} | completion.usage)
    except ApiError as error:  # too late for a status
      yield _event(error.body)
    finally:
      completion.asked.is_left = True
    yield "data: [DONE]\n\n"

  async def _keep(self, completion: "_Completion") -> None:
    """Keeps answers that feedback may compare; without room they are given all the same."""
    if completion.request.n < 2:
      return
    try:
      await run_in_threadpool(self._state.add_answers, completion.id, completion.record())
    except Exception as error:
      print(f"answers not kept: {error}", file=sys.stderr, flush=True)


class _Completion:
  """One request, its answers as they grow, and what the drawing thread tells of them."""

  def __init__(self, policies: Policies, request: ChatRequest, loop: asyncio.AbstractEventLoop):
    folder = policies.folder_of(request.model)
    if folder is None:
      raise not_found("model", request.model, "model")
    self.request, self.id = request, f"chatcmpl-{secrets.token_hex(12)}"
    self.created = int(time.time())
    self.model = policies.name_of(folder) if request.model == CURRENT else request.model
    tokenizer = policies.parts.task.tokenizer
    prompt = _encoded(policies, request)
    left = policies.context - len(prompt)
    wanted = request.max_tokens or min(policies.config.sampling.max_tokens, max(left, 1))
    if wanted > left:
      raise chat_request.too_long(len(prompt), wanted, policies.context)
    seed = secrets.randbits(32) if request.seed is None else request.seed % 2**32
    rows = [
      Row(
        prompt,
        request.temperature,
        request.top_p,
        (seed, index),
        Answer(index, tokenizer, wanted, request.stop),
      )
      for index in range(request.n)
    ]
    self.prompt_tokens = len(prompt)
    self._loop = loop
    self.news: asyncio.Queue[Any] = asyncio.Queue()
    self._ended: set[int] = set()
    self.asked = Asked(folder, rows, self._tell)

  def _tell(self) -> None:
    """Called in the drawing thread, which alone reads answers that still grow."""
    found: list[Any] = []
    for answer in self.asked.answers:
      if answer.index in self._ended:
        continue
      if answer.finish_reason:
        self._ended.add(answer.index)
      if self.request.stream:
        log_probs = answer.log_probs() if self.request.logprobs else None
        found.append((answer.index, answer.piece(), log_probs, answer.finish_reason))
    if self.asked.failure or self.asked.is_done:
      found.append(self.asked.failure)
    if found:
      self._loop.call_soon_threadsafe(self._put, found)

  def _put(self, found: list[Any]) -> None:
    for one in found:
      self.news.put_nowait(one)

  def about(self, kind: str) -> dict[str, Any]:
    about = {"id": self.id, "object": kind, "created": self.created, "model": self.model}
    return about | {"system_fingerprint": None}

  @property
  def usage(self) -> dict[str, Any]:
    drawn = sum(len(answer.tokens) for answer in self.asked.answers)
    usage = {"prompt_tokens": self.prompt_tokens, "completion_tokens": drawn}
    return {"usage": usage | {"total_tokens": self.prompt_tokens + drawn}}

  def whole(self) -> dict[str, Any]:
    choices = [
      {
        "index": answer.index,
        "message": {"role": "assistant", "content": answer.text, "refusal": None},
        "logprobs": _log_probs(answer.log_probs() if self.request.logprobs else None),
        "finish_reason": answer.finish_reason,
      }
      for answer in self.asked.answers
    ]
    return self.about("chat.completion") | {"choices": choices} | self.usage

  def event(
    self, index: int, delta: Mapping[str, str], log_probs: Any = None, finish_reason: str = ""
  ) -> str:
    choice = {"index": index, "delta": delta, "logprobs": _log_probs(log_probs)}
    choice |= {"finish_reason": finish_reason or None}
    usage = {"usage": None} if self.request.stream_usage else {}
    return _event(self.about("chat.completion.chunk") | {"choices": [choice]} | usage)

  def record(self) -> dict[str, Any]:
    """The answers for feedback. Greedy ones, and ones cut by a stop, have no log-probs."""
    answers, request = self.asked.answers, self.request
    is_drawn = request.temperature > 0 and not any(answer.is_cut for answer in answers)
    return {
      "messages": request.messages,
      "texts": [answer.text for answer in answers],
      "tokens": [answer.tokens for answer in answers],
      "logps": [answer.drawn_logps for answer in answers] if is_drawn else None,
      "finished": [answer.is_whole for answer in answers],
      "policy": self.model,
      "temperature": request.temperature,
      "top_p": request.top_p,
    }


_EVENTS = "text/event-stream"


async def _pieces(completion: _Completion, request: Request | None) -> AsyncIterator[Any]:
  """The drawing thread's news, to the end; of a request, until its client is gone."""
  while True:
    try:
      news = await asyncio.wait_for(completion.news.get(), LOOK)
    except TimeoutError:
      if request is not None and await request.is_disconnected():
        return
      continue
    if news is None:
      return
    if isinstance(news, Exception):
      print(f"chat: {type(news).__name__}: {news}", file=sys.stderr, flush=True)
      raise ApiError(500, "The answer could not be drawn; the server's log says why.")
    yield news


def _encoded(policies: Policies, request: ChatRequest) -> list[int]:
  tokenizer, messages = policies.parts.task.tokenizer, request.messages
  if not tokenizer.chats and (len(messages) > 1 or messages[0]["role"] != "user"):
    raise invalid("messages", "This model does not chat: it reads one message of a user at a time.")
  try:
    return tokenizer.encode_prompt(prompt_of(messages))
  except ValueError as error:
    raise invalid("messages", f"The model cannot read this: {error}.") from None


def _log_probs(entries: list[dict[str, Any]] | None) -> dict[str, Any] | None:
  return None if entries is None else {"content": entries, "refusal": None}


def _event(content: Mapping[str, Any]) -> str:
  return f"data: {json.dumps(content)}\n\n"
