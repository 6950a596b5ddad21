"""The page of the service: two answers to choose from; jobs, rounds, and what is in service."""

import os

from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from rounds.pages import page_of

_PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "page.html")


def page(chats: bool) -> Route:
  """The route of the page; `chats`: whether the model reads conversations."""
  text, headers = page_of(_PAGE, chats)

  async def show(request: Request) -> HTMLResponse:
    del request
    return HTMLResponse(text, headers=headers)

  return Route("/", show, methods=["GET"])
