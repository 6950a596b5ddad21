"""The addresses of the service: OpenAI's where they exist, ours beside them.

  GET  /                                   the page: two answers, jobs, rounds
  GET  /v1/models, /v1/models/NAME
  POST /v1/chat/completions
  POST /v1/feedback                        ours
  GET, POST /v1/files; GET, DELETE /v1/files/ID; GET /v1/files/ID/content
  GET, POST /v1/fine_tuning/jobs; GET …/ID, …/events, …/checkpoints; POST …/cancel, /pause, /resume
  GET, POST /v1/deployments                ours

Every error has OpenAI's shape. Who may ask, how often and how much is `access/guards.py`.
"""

import sys
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from serving import job_views
from serving.access.guards import Guarded
from serving.errors import ApiError, invalid, no_room, not_found
from serving.fields import parse
from serving.files import shown
from serving.page import page
from serving.service import Service
from serving.state import is_full

LARGEST_JSON, LARGEST_FILE = 4 << 20, 512 << 20  # bytes
RATE, BURST = 2000.0, 4000.0  # requests a second of one address, and at once: programs ask here
_CODES = {400: "bad_request", 401: "invalid_api_key", 403: "forbidden", 404: "unknown_url"}
_CODES |= {405: "method_not_allowed", 413: "too_large", 429: "rate_limit_exceeded"}


def app(service: Service, hosts: Collection[str] | None, token: str) -> Guarded:
  """The server. `hosts` and `token` as `guards.Guarded` has them."""
  routes = _Routes(service)
  jobs = "/v1/fine_tuning/jobs"
  table: list[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = [
    ("GET", "/v1/models", routes.models),
    ("GET", "/v1/models/{model}", routes.model),
    ("POST", "/v1/chat/completions", routes.chat),
    ("POST", "/v1/feedback", routes.feedback),
    ("GET", "/v1/files", routes.files),
    ("POST", "/v1/files", routes.add_file),
    ("GET", "/v1/files/{file}", routes.file),
    ("GET", "/v1/files/{file}/content", routes.file_content),
    ("DELETE", "/v1/files/{file}", routes.delete_file),
    ("GET", jobs, routes.jobs),
    ("POST", jobs, routes.add_job),
    ("GET", jobs + "/{job}", routes.job),
    ("GET", jobs + "/{job}/events", routes.job_events),
    ("GET", jobs + "/{job}/checkpoints", routes.job_checkpoints),
    ("POST", jobs + "/{job}/{word:str}", routes.change_job),
    ("GET", "/v1/deployments", routes.deployment),
    ("POST", "/v1/deployments", routes.deploy),
  ]
  handlers = {ApiError: _refused, HTTPException: _not_here}
  handlers |= {ClientDisconnect: _gone, Exception: _failed}
  inner = Starlette(
    routes=[_page(service)]
    + [Route(path, endpoint, methods=[method]) for method, path, endpoint in table],
    exception_handlers=handlers,  # pyrefly: ignore[bad-argument-type]
  )
  inner.router.redirect_slashes = False
  return Guarded(
    inner,
    lambda status, message: ApiError(status, message, code=_CODES.get(status, "")).response,
    hosts=hosts,
    token=token,
    largest=lambda path: LARGEST_FILE if path == "/v1/files" else LARGEST_JSON,
    rate=RATE,
    burst=BURST,
  )


class _Routes:
  """A method an address."""

  def __init__(self, service: Service):
    self._service = service

  async def models(self, request: Request) -> Response:
    del request
    folders = await run_in_threadpool(self._service.policies.folders)
    return JSONResponse({"object": "list", "data": [_model(name) for name in folders]})

  async def model(self, request: Request) -> Response:
    name = request.path_params["model"]
    if await run_in_threadpool(self._service.policies.folder_of, name) is None:
      raise not_found("model", name, "model")
    return JSONResponse(_model(name))

  async def chat(self, request: Request) -> Response:
    return await self._service.completions.create(request, parse(await request.body()))

  async def feedback(self, request: Request) -> Response:
    return await _json(self._service.feedback.add, parse(await request.body()))

  async def files(self, request: Request) -> Response:
    after, limit = _paging(request, 10_000)
    found = await run_in_threadpool(self._service.files.list)
    wanted = request.query_params.get("purpose")
    found = [shown(one) for one in found if wanted in (None, one["purpose"])]
    return JSONResponse(job_views.page(found, after, limit))

  async def add_file(self, request: Request) -> Response:
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
      raise invalid("", "Send a form of multipart/form-data with 'file' and 'purpose'.")
    async with request.form(max_files=1, max_fields=10) as form:
      file, purpose = form.get("file"), form.get("purpose")
      if not isinstance(file, UploadFile) or not file.filename:
        raise invalid("file", "'file' must be a file with a name.", "missing_required_parameter")
      if not isinstance(purpose, str):
        raise invalid("purpose", "'purpose' is required.", "missing_required_parameter")
      return await _json(self._service.files.add, file.file, file.filename, purpose)

  async def file(self, request: Request) -> Response:
    found = await run_in_threadpool(self._service.files.get, request.path_params["file"])
    return JSONResponse(shown(found))

  async def file_content(self, request: Request) -> Response:
    found = await run_in_threadpool(self._service.files.get, request.path_params["file"])
    return FileResponse(found["rows_file"], media_type="application/octet-stream")

  async def delete_file(self, request: Request) -> Response:
    return await _json(self._service.delete_file, request.path_params["file"])

  async def jobs(self, request: Request) -> Response:
    after, limit = _paging(request, 20)
    found = await run_in_threadpool(self._service.state.jobs)
    views = [job_views.job(job) for job in reversed(found)]
    return JSONResponse(job_views.page(views, after, limit))

  async def add_job(self, request: Request) -> Response:
    key = request.headers.get("idempotency-key", "")[:200] or None
    made = await run_in_threadpool(self._service.add_job, parse(await request.body()), key)
    return JSONResponse(job_views.job(made))

  async def job(self, request: Request) -> Response:
    found = await run_in_threadpool(self._service.jobs.get, request.path_params["job"])
    return JSONResponse(job_views.job(found))

  async def job_events(self, request: Request) -> Response:
    return await self._of_job(request, job_views.events, 20)

  async def job_checkpoints(self, request: Request) -> Response:
    return await self._of_job(request, job_views.checkpoints, 10)

  async def change_job(self, request: Request) -> Response:
    jobs, word = self._service.jobs, request.path_params["word"]
    words = {"cancel": jobs.cancel, "pause": jobs.pause, "resume": jobs.resume}
    if word not in words:
      raise HTTPException(404)
    changed = await run_in_threadpool(words[word], request.path_params["job"])
    return JSONResponse(job_views.job(changed))

  async def deployment(self, request: Request) -> Response:
    del request
    return await _json(self._service.promotion.shown)

  async def deploy(self, request: Request) -> Response:
    return await _json(self._service.promotion.change, parse(await request.body()))

  async def _of_job(self, request: Request, view: Callable[..., Any], most: int) -> Response:
    after, limit = _paging(request, most)
    job = await run_in_threadpool(self._service.jobs.get, request.path_params["job"])
    found = await run_in_threadpool(view, self._service.jobs, job)
    return JSONResponse(job_views.page(found, after, limit))


async def _json(function: Callable[..., Any], *arguments: Any) -> JSONResponse:
  return JSONResponse(await run_in_threadpool(function, *arguments))


def _model(name: str) -> dict[str, Any]:
  return {"id": name, "object": "model", "created": 0, "owned_by": "counterpoint"}


def _paging(request: Request, default: int) -> tuple[str | None, int]:
  limit = request.query_params.get("limit", str(default))
  if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= 10_000):
    raise invalid("limit", "'limit' must be an integer from 1 to 10000.")
  return request.query_params.get("after"), int(limit[:9])


def _page(service: Service) -> Route:
  sampling = service.policies.config.sampling
  chats = service.policies.parts.task.tokenizer.chats
  return page(chats=chats, temperature=float(sampling.temperature), top_p=float(sampling.top_p))


async def _refused(request: Request, error: ApiError) -> Response:
  del request
  return error.response


async def _gone(request: Request, error: ClientDisconnect) -> Response:
  """A client that left, or was hung up on, before its request was whole: nobody reads this."""
  del request, error
  return Response(status_code=400)


async def _not_here(request: Request, error: HTTPException) -> Response:
  words = {
    404: f"Unknown request URL: {request.method} {request.url.path}.",
    405: f"{request.method} is not allowed for {request.url.path}.",
  }
  message = words.get(error.status_code, error.detail)
  code = _CODES.get(error.status_code, "")
  answer = ApiError(error.status_code, message, code=code).response
  answer.headers.update(error.headers or {})
  return answer


async def _failed(request: Request, error: Exception) -> Response:
  print(f"{request.url.path}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
  if is_full(error):
    return no_room("nothing was kept").response
  return ApiError(500, "The server failed; its log says why.", code="internal_error").response
