"""The page, its server and the rounds that train on its rows: real processes, HTTP, a browser."""

import contextlib
import json
import signal
import subprocess
import sys

import httpx
import pytest

from experiments import collect_feedback
from tests.comparing import browser
from tests.experiments import commands
from tests.experiments.test_rounds import rounds
from tests.experiments.test_train import environment

pytest.importorskip("fastapi")
PEOPLE = ["--out=runs/people", "--config.rounds.judge=people", "--config.rounds.groups=2"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
  """A deployment that waits for people."""
  place = tmp_path_factory.mktemp("place")
  done = train(place)
  assert "round 1  waiting for rows: 0 of 2 new ones in runs/people/feedback" in done.stdout
  return place


def train(place):
  done = rounds(place, *PEOPLE)
  assert done.returncode == 0, done.stderr
  return done


class Server:
  """The command, listening on a port of its own choice."""

  def __init__(self, place):
    words = [sys.executable, "-m", "experiments.collect_feedback", "--deployment=runs/people"]
    self.process = subprocess.Popen(
      [*words, "--port=0"], cwd=place, env=environment(place), stdout=subprocess.PIPE, text=True
    )
    assert self.process.stdout is not None
    line = self.process.stdout.readline()
    self.url = line.split()[0]
    assert self.url.startswith("http://127.0.0.1:") and "runs/people/feedback" in line

  def ask(self, text, after=None):
    return httpx.post(f"{self.url}/api/ask", json={"text": text, "after": after}, timeout=60)

  def choose(self, offer, choice):
    body = {"offer": offer, "choice": choice}
    return httpx.post(f"{self.url}/api/choose", json=body, timeout=60)

  def kill(self):
    if self.process.poll() is None:
      self.process.send_signal(signal.SIGKILL)
      self.process.communicate()


@contextlib.contextmanager
def serving(place):
  server = Server(place)
  try:
    yield server
  finally:
    server.kill()


@pytest.fixture(scope="module")
def server(place):
  with serving(place) as server:
    yield server


def lines(place, name):
  path = place / "runs" / "people" / "feedback" / name
  return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def post(server, content, path="/api/ask", **headers):
  headers = {"content-type": "application/json"} | headers
  return httpx.post(server.url + path, content=content, headers=headers, timeout=60)


@pytest.mark.parametrize(
  ("content", "status", "message"),
  [
    (b'{"text": "  \\n "}', 422, "Write something first."),
    (b'{"text": "\xff\xfe"}', 400, "That is no JSON in UTF-8."),
    (b'{"text": "\\ud800"}', 422, "The text is not valid Unicode."),
    ('{"text": "né"}'.encode(), 422, "The model cannot read this: the character tokenizer has no"),
    (b'{"text": "' + b"a" * 5000 + b'"}', 413, "Too long: 5,000 tokens"),
    (b'{"text": "' + b"a" * 100_000 + b'"}', 413, "Too long: more than 64 KiB."),
    (b'{"txt": "a"}', 422, "That was not understood."),
    (b'{"text": 3}', 422, "That was not understood."),
    (b"[" * 60_000, 400, "That is no JSON in UTF-8."),
    (b'{"text": "a", "after": "nowhere"}', 404, "No such pair of responses here."),
  ],
)
def test_what_cannot_be_asked_is_answered_in_a_sentence(server, content, status, message):
  answer = post(server, content)
  assert answer.status_code == status and answer.json()["error"].startswith(message)


def test_other_sites_can_neither_ask_nor_choose(server):
  assert post(server, b'{"text": "a"}', **{"content-type": "text/plain"}).status_code == 415
  assert post(server, b'{"text": "a"}', host="evil.example").status_code == 400
  assert httpx.options(f"{server.url}/api/ask").status_code == 405
  policy = httpx.get(server.url).headers["content-security-policy"]
  assert "default-src 'none'" in policy and "unsafe" not in policy


def test_two_tabs_have_a_conversation_each(server, place):
  one, two = (server.ask(text).json() for text in ("abc>", "xyz>"))
  assert server.ask("more>", after=one["offer"]).json()["error"].startswith("Choose one")
  assert server.choose(two["offer"], "right").json()["count"] == 1
  assert server.choose(one["offer"], "left").json()["count"] == 2
  again = server.choose(one["offer"], "right")
  assert again.status_code == 409 and "You chose already: left" in again.json()["error"]
  rows = lines(place, "choices.jsonl")
  assert [row["messages"][0]["content"] for row in rows] == ["xyz>", "abc>"]
  assert rows[0]["preferred_response"] == two["right"]
  assert rows[1]["preferred_response"] == one["left"]


@pytest.mark.skipif(browser.CHROMIUM is None, reason="needs Chromium")
def test_in_a_browser_ask_choose_and_go_on(server, place):
  before = len(lines(place, "choices.jsonl"))
  with browser.page() as page:
    page.open(server.url)
    page.wait("document.activeElement.id === 'text'")
    page.press("Enter")  # the message is empty
    page.wait("document.querySelector('#said').textContent === 'Write something first.'")
    page.type("<b>bold</b>>")
    page.press("Enter")
    page.wait("!document.querySelector('#choice').hidden")
    left = page.run("document.querySelector('#left').firstChild.textContent")
    page.press("1")
    page.wait("document.querySelector('#choice').hidden")
    assert page.run("document.querySelector('#talk .user').textContent") == "<b>bold</b>>"
    assert page.run("document.querySelector('#talk b')") is None  # HTML stays text
    assert page.run("document.querySelector('#talk .assistant').textContent") == left
    assert page.run("document.activeElement.id") == "text"
    page.type("dog>")
    page.press("Enter")
    page.wait("!document.querySelector('#choice').hidden")
    page.run("document.querySelector('#tie').click()")
    page.wait("document.querySelector('#choice').hidden")
    assert f"{before + 2} choices kept" in page.run("document.body.innerText")
    assert page.console == []  # no error, no breach of the page's own policy
  bold, tie = lines(place, "choices.jsonl")[before:]
  assert bold["preferred_response"] == left and bold["messages"][0]["content"] == "<b>bold</b>>"
  assert [response["score"] for response in tie["responses"]] == [0.5, 0.5]


@pytest.mark.slow
def test_killed_between_answer_and_choice_and_then_a_round_trains_on_it(server, place):
  path, already = place / "runs" / "people", len(lines(place, "choices.jsonl"))
  offers = [server.ask(f"{word}>").json() for word in ("one", "two")]
  server.kill()
  with serving(place) as server:  # another process
    for offer in offers:
      assert server.choose(offer["offer"], "left").status_code == 200
    assert len(lines(place, "choices.jsonl")) == already + 2
    assert "round 1  " in train(place).stdout
    recipe = json.loads((path / "rounds/001/data/groups/1.0.0/recipe.json").read_text())
    assert recipe["taken"] == {"choices.jsonl": 2} and recipe["assumed"] == 0
    verdict = json.loads((path / "rounds/001/verdict.json").read_text())
    server.ask("three>")  # the server goes on, with what is in service now
    last = lines(place, "offers/offers.jsonl")[-1]["policy"]
    assert last == ("runs/people/rounds/001" if verdict["deployed"] else "base policy")


def test_beyond_loopback_it_asks_for_a_token_before_anything_is_loaded(place):
  words = ["--deployment=runs/people", "--host=0.0.0.0"]
  done = commands.run(collect_feedback.main, *words, place=place)
  assert done.returncode == 2 and "--host=0.0.0.0: others could use" in done.stderr
  done = commands.run(collect_feedback.main, *words, "--token=short", place=place)
  assert done.returncode == 2 and "16 letters" in done.stderr and "short" not in done.stderr
