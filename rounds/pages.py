"""A page in one file, and headers that allow it its own script and this server, nothing else."""

import base64
import hashlib
import re


def page_of(path: str, chats: bool) -> tuple[str, dict[str, str]]:
  """Returns the page, told whether the model chats, and its headers."""
  with open(path, encoding="utf-8") as file:
    page = file.read().replace('data-chats=""', f'data-chats="{"yes" if chats else "no"}"')
  sources = {
    f"{kind}-src": " ".join(map(_hash, re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.S)))
    for kind, tag in (("script", "script"), ("style", "style"))
  }
  sources |= {"default-src": "'none'", "connect-src": "'self'", "img-src": "data:"}
  sources |= {"frame-ancestors": "'none'", "base-uri": "'none'", "form-action": "'none'"}
  policy = "; ".join(f"{name} {value}" for name, value in sources.items())
  return page, {
    "Content-Security-Policy": policy,
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
  }


def _hash(text: str) -> str:
  return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
