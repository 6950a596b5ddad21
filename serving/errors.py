"""Errors in the shape that OpenAI's clients read: {"error": {message, type, param, code}}."""

from typing import Any

from starlette.responses import JSONResponse


class ApiError(Exception):
  """A request that cannot be served. `param` names the field at fault; `code` is for programs."""

  def __init__(self, status: int, message: str, *, param: str = "", code: str = ""):
    super().__init__(message)
    self.status, self.param, self.code = status, param, code

  @property
  def body(self) -> dict[str, Any]:
    about = {"message": str(self), "type": _type_of(self.status)}
    return {"error": about | {"param": self.param or None, "code": self.code or None}}

  @property
  def response(self) -> JSONResponse:
    return JSONResponse(self.body, self.status)


def invalid(param: str, message: str, code: str = "invalid_value") -> ApiError:
  """A field, or the body (""), that makes no sense."""
  return ApiError(400, message, param=param, code=code)


def not_found(kind: str, name: str, param: str = "id") -> ApiError:
  return ApiError(404, f"No {kind} {name!r} here.", param=param, code=f"{kind}_not_found")


def conflict(message: str, code: str) -> ApiError:
  """A request that was good, but does not go with what there is."""
  return ApiError(409, message, code=code)


def no_room(what: str) -> ApiError:
  """The disk is full: nothing was kept."""
  return ApiError(507, f"The disk is full: {what}. Make room and ask again.", code="disk_full")


def _type_of(status: int) -> str:
  if status == 429:
    return "rate_limit_error"
  return "invalid_request_error" if status < 500 else "server_error"
