"""The page of the service: two answers to choose from; jobs, rounds, and what is in service.

It is one file, and its headers allow it its own script and this server, nothing else.
"""

import base64
import hashlib
import os
import re

from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

_PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "page.html")


def page(*, chats: bool, temperature: float, top_p: float) -> Route:
  """The route of the page, which draws answers as it is told.

  `chats`: whether the model reads conversations.
  """
  with open(_PAGE, encoding="utf-8") as file:
    text = file.read()
  about = {"chats": "yes" if chats else "no", "temperature": temperature, "top-p": top_p}
  for name, value in about.items():
    text = text.replace(f'data-{name}=""', f'data-{name}="{value}"')
  headers = {
    "Content-Security-Policy": _policy(text),
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
  }

  async def show(request: Request) -> HTMLResponse:
    del request
    return HTMLResponse(text, headers=headers)

  return Route("/", show, methods=["GET"])


def _policy(page: str) -> str:
  sources = {
    f"{kind}-src": " ".join(map(_hash, re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.S)))
    for kind, tag in (("script", "script"), ("style", "style"))
  }
  sources |= {"default-src": "'none'", "connect-src": "'self'", "img-src": "data:"}
  sources |= {"frame-ancestors": "'none'", "base-uri": "'none'", "form-action": "'none'"}
  return "; ".join(f"{name} {value}" for name, value in sources.items())


def _hash(text: str) -> str:
  return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
