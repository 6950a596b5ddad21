"""The service with the unchanged client of OpenAI: a real process, HTTP, a real policy."""

import concurrent.futures
import json

import httpx
import openai
import pytest

from rounds import feedback_rows
from tests.comparing import browser
from tests.serving.server import BEGIN, SMALL, Server, ask, comparable, ended, prefer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory):
  return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="module")
def server(place):
  server = Server(place, *BEGIN).wait()
  yield server
  server.stop()


@pytest.fixture(scope="module")
def client(server):
  return server.client


def texts(completion):
  return [choice.message.content for choice in completion.choices]


# --- chat -----------------------------------------------------------------------------------------


def test_a_seed_draws_the_same_answers_alone_and_among_others(client):
  alone = texts(ask(client, n=4, seed=5))
  with concurrent.futures.ThreadPoolExecutor(20) as pool:
    others = [pool.submit(ask, client, f"{n}>", n=2, max_tokens=30) for n in range(20)]
    again = pool.submit(ask, client, n=4, seed=5)
    assert texts(again.result()) == alone
    assert all(len(one.result().choices) == 2 for one in others)
  assert len(set(texts(ask(client, n=8, temperature=1.5)))) > 1


def test_a_completion_has_its_usage_its_ends_and_its_log_probs(client):
  found = ask(client, n=3, logprobs=True, max_tokens=4, temperature=0.8, top_p=0.9)
  assert found.model == "base" and found.usage.prompt_tokens == 6
  for choice in found.choices:
    told = choice.logprobs.content
    assert "".join(one.token for one in told) == choice.message.content
    assert all(one.logprob <= 0 for one in told)
    assert (choice.finish_reason == "length") == (len(told) == 4)
  drawn = sum(len(c.logprobs.content) + (c.finish_reason == "stop") for c in found.choices)
  assert found.usage.completion_tokens == drawn


def test_greedy_answers_are_alike(client):
  assert len(set(texts(ask(client, n=4, temperature=0)))) == 1


def test_a_stop_ends_an_answer_before_it(client):
  plain = texts(ask(client, n=8, seed=1, max_tokens=20, temperature=2))
  letters = {text[1] for text in plain if len(text) > 1}
  stop = sorted(letters)[0]
  stopped = texts(ask(client, n=8, seed=1, max_tokens=20, temperature=2, stop=stop))
  assert stopped == [text.partition(stop)[0] for text in plain] != plain


def test_a_stream_has_the_pieces_of_the_whole(client):
  about = {"n": 3, "seed": 9, "max_tokens": 60, "temperature": 1.9, "logprobs": True}
  whole = ask(client, **about)
  pieces, ends, tokens, usage = ["", "", ""], {}, 0, None
  for chunk in ask(client, **about, stream=True, stream_options={"include_usage": True}):
    for choice in chunk.choices:
      pieces[choice.index] += choice.delta.content or ""
      tokens += len(choice.logprobs.content) if choice.logprobs else 0
      if choice.finish_reason:
        ends[choice.index] = choice.finish_reason
    usage = chunk.usage
  assert pieces == texts(whole) and usage == whole.usage
  assert [ends[i] for i in range(3)] == [choice.finish_reason for choice in whole.choices]
  assert tokens == sum(len(choice.logprobs.content) for choice in whole.choices)


def test_a_context_that_is_too_long_is_the_error_that_clients_expect(client):
  for about in ({"text": "a" * 1100}, {"max_tokens": 1020}):
    with pytest.raises(openai.BadRequestError) as refused:
      ask(client, **about)
    assert refused.value.code == "context_length_exceeded" and refused.value.param == "messages"


@pytest.mark.parametrize(
  ("method", "path", "about", "status", "code"),
  [
    ("POST", "/v1/chat/completions", {"content": b"{"}, 400, "invalid_json"),
    ("POST", "/v1/chat/completions", {"content": b"x" * (5 << 20)}, 413, "too_large"),
    ("POST", "/v1/chat/completions", {"json": {"model": "gpt"}}, 400, "missing_required_parameter"),
    ("GET", "/v1/chat/completions", {}, 405, "method_not_allowed"),
    ("PUT", "/v1/files", {}, 405, "method_not_allowed"),
    ("GET", "/v1/nothing", {}, 404, "unknown_url"),
    ("POST", "/", {}, 405, "method_not_allowed"),
    ("GET", "/v1/models/gpt-5", {}, 404, "model_not_found"),
    ("GET", "/v1/files/file-1", {}, 404, "file_not_found"),
    ("POST", "/v1/files", {"json": {}}, 400, "invalid_value"),
    ("POST", "/v1/files", {"data": {"purpose": "fine-tune"}, "files": {"x": b"1"}}, 400, None),
    ("POST", "/v1/files", {"headers": {"content-type": "multipart/form-data"}}, 400, None),
    ("GET", "/v1/fine_tuning/jobs/ftjob-1", {}, 404, "fine_tuning_job_not_found"),
    ("POST", "/v1/fine_tuning/jobs/ftjob-1/cancel", {}, 404, "fine_tuning_job_not_found"),
    ("POST", "/v1/fine_tuning/jobs/ftjob-1/explode", {}, 404, "unknown_url"),
    ("GET", "/v1/fine_tuning/jobs?limit=x", {}, 400, "invalid_value"),
    ("POST", "/v1/deployments", {"json": {"model": "gpt"}}, 400, "model_not_found"),
    ("POST", "/v1/deployments", {"json": {}}, 400, "invalid_value"),
    ("POST", "/v1/feedback", {"json": {"completion": "a", "best": 0}}, 404, "completion_not_found"),
    ("POST", "/v1/feedback", {"headers": {"origin": "http://evil.example"}}, 403, "forbidden"),
    ("GET", "/v1/models", {"headers": {"host": "evil.example"}}, 400, "bad_request"),
  ],
)
def test_an_error_has_the_apis_shape(server, method, path, about, status, code):
  answer = httpx.request(method, server.url + path, timeout=60, **about)
  error = answer.json()["error"]
  assert answer.status_code == status and {"message", "type", "param", "code"} == error.keys()
  assert code in (None, error["code"]) and "Traceback" not in answer.text


def test_a_model_that_reads_one_message_refuses_a_conversation(client):
  talk = [{"role": role, "content": "a"} for role in ("user", "assistant", "user")]
  with pytest.raises(openai.BadRequestError) as refused:
    client.chat.completions.create(model="current", messages=talk)
  assert refused.value.param == "messages"
  with pytest.raises(openai.BadRequestError, match="cannot read this"):
    ask(client, "ü>")


# --- feedback, files, jobs ------------------------------------------------------------------------

PAIRS = [
  {"prompt": f"{a}{b}c>", "chosen": f"c{b}{a}", "rejected": "x"} for a in "defg" for b in "hi"
]


def upload(client, rows, name="rows.jsonl"):
  content = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
  return client.files.create(file=(name, content), purpose="fine-tune")


def job(client, file, kind="dpo", model="current", **numbers):
  method = {"type": kind, kind: {"hyperparameters": {"n_epochs": 1, "batch_size": 4} | numbers}}
  return client.fine_tuning.jobs.create(model=model, training_file=file, method=method)


def test_feedback_is_a_row_that_a_job_trains_on_with_its_log_probs(client, server):
  completions = comparable(client, 4)
  for completion in completions:
    prefer(client, completion.id, best=1)
    prefer(client, completion.id, best=1)
  with pytest.raises(openai.ConflictError):
    prefer(client, completions[0].id, best=0)
  done = ended(client, job(client, "feedback").id)
  assert done.status == "succeeded", done.error
  recipe = next((server.home / "jobs" / done.id).glob("data/*/*/recipe.json"))
  about = json.loads(recipe.read_text())
  assert about["groups"] == len(completions) and about["assumed"] == 0


@pytest.fixture(scope="module")
def tuned(client):
  """A finished job on an uploaded file."""
  made = upload(client, PAIRS)
  assert client.files.retrieve(made.id) == made in client.files.list().data
  done = ended(client, job(client, made.id, n_epochs=2).id)
  assert done.status == "succeeded", done.error
  return done


def test_a_job_tells_its_events_and_its_checkpoints(client, tuned):
  events = client.fine_tuning.jobs.list_events(tuned.id, limit=100).data
  steps = {event.data["step"] for event in events if event.type == "metrics"}
  assert {1, 2, 3, 4} <= steps
  said = [event.message for event in events if event.type == "message"]
  assert said[0].startswith("The job is done") and said[-1].startswith("Created: dpo on 8 rows")
  first = client.fine_tuning.jobs.list_events(tuned.id, limit=1)
  assert first.has_more and first.data[0] == events[0]
  found = client.fine_tuning.jobs.checkpoints.list(tuned.id).data
  assert found[0].step_number == 4
  names = (found[0].fine_tuned_model_checkpoint, tuned.fine_tuned_model)
  assert len({tuple(texts(ask(client, model=name, n=8, seed=3))) for name in names}) == 1


def test_a_jobs_model_is_put_in_service_and_taken_back(client, server, tuned):
  def deploy(**body):
    return client.post("/deployments", cast_to=object, body=body)

  before = texts(ask(client, n=8, seed=3))
  new = texts(ask(client, n=8, seed=3, model=tuned.fine_tuned_model))
  (server.home / "rounds" / "001").mkdir(parents=True)  # of a promotion that was killed
  for _ in range(2):  # the second time it is there already
    assert deploy(model=tuned.fine_tuned_model)["in_service"] == tuned.fine_tuned_model
  found = ask(client, n=8, seed=3)
  assert (found.model, texts(found)) == (tuned.fine_tuned_model, new)
  assert deploy(roll_back=True)["in_service"] == "base"
  assert texts(ask(client, n=8, seed=3)) == before
  written = [server.home / "rounds" / f"{n:03}" / "verdict.json" for n in (1, 2)]
  verdicts = [json.loads(path.read_text()) for path in written]
  assert [verdict["deployed"] for verdict in verdicts] == [True, True]
  with pytest.raises(openai.ConflictError) as refused:
    deploy(roll_back=True)
  assert refused.value.code == "nothing_before"


def test_other_methods_train_too(client, tuned):
  group = [
    {"messages": [{"role": "user", "content": f"{a}b>"}], "responses": responses}
    for a in "cdef"
    for responses in [[{"response": text, "score": n} for n, text in enumerate(("b", "ba", "bac"))]]
  ]
  single = [{"prompt": f"{a}b>", "completion": "ba"} for a in "cdef"]
  jobs = [
    job(client, upload(client, group).id, "grpo"),
    job(client, upload(client, single).id, "sft", model=tuned.fine_tuned_model),
  ]
  assert [ended(client, one.id).status for one in jobs] == ["succeeded"] * 2
  with pytest.raises(openai.BadRequestError, match="rows of one response"):
    job(client, upload(client, single).id)


def of_config(client, file, **overrides):
  parts = [setting.partition("=") for setting in SMALL if not setting.startswith("rounds")]
  settings = {name: value for name, _, value in parts} | overrides
  about = {"file": file, "overrides": settings}
  method = {"type": "config", "config": about}
  body = {"model": "base", "method": method}
  return client.post("/fine_tuning/jobs", cast_to=openai.types.fine_tuning.FineTuningJob, body=body)


def test_a_job_that_diverges_says_so_and_the_service_goes_on(client):
  bad = of_config(client, "configs/grpo.py", **{"optimizer.learning_rate": "1e30"})
  done = ended(client, bad.id)
  assert done.status == "failed" and done.error.code == "diverged"
  last = client.fine_tuning.jobs.list_events(bad.id, limit=100).data
  assert any(event.level == "error" and "finite" in event.message for event in last), last
  assert ask(client).choices
  with pytest.raises(openai.BadRequestError, match="stepz"):
    of_config(client, "configs/grpo.py", stepz="3")


def test_a_job_is_cancelled_paused_and_resumed(client):
  long = upload(client, PAIRS).id
  jobs = client.fine_tuning.jobs
  running = job(client, long, n_epochs=1000)
  waiting = job(client, long)
  assert jobs.pause(waiting.id).status == "paused"
  assert jobs.cancel(running.id).status == "cancelled"
  with pytest.raises(openai.ConflictError) as refused:
    jobs.pause(running.id)
  assert refused.value.code == "invalid_job_state"
  assert jobs.retrieve(waiting.id).status == "paused"
  assert jobs.resume(waiting.id).status in ("queued", "running")
  with pytest.raises(openai.ConflictError):
    client.files.delete(long)
  assert ended(client, waiting.id).status == "succeeded"
  assert client.files.delete(long).deleted


@pytest.mark.skipif(browser.CHROMIUM is None, reason="needs Chromium")
def test_in_a_browser_choose_deploy_and_roll_back(server, tuned):
  rows = server.home / "feedback" / "service.jsonl"
  before = len(rows.read_text().splitlines()) if rows.exists() else 0

  def ask(page, text):
    """Until two answers differ."""
    for _ in range(30):
      page.wait(
        "!document.getElementById('ask').hidden && !document.getElementById('send').disabled"
      )
      assert page.run("document.activeElement.id") == "text"
      page.type(text)
      page.press("Enter")
      page.wait("!document.getElementById('send').disabled")
      if not page.run("document.getElementById('choice').hidden"):
        return

  with browser.page() as page:
    page.open(server.url)
    page.wait("document.activeElement.id === 'text'")
    page.press("Enter")  # the message is empty
    page.wait("document.getElementById('said').textContent === 'Write something first.'")
    ask(page, "<b>abc</b>>")
    page.press("1")
    page.wait("document.getElementById('said').textContent === 'Kept.'")
    assert page.run("document.querySelector('#talk li.user').textContent") == "<b>abc</b>>"
    assert page.run("document.querySelector('#talk b')") is None  # HTML stays text
    shown = page.run("[...document.querySelectorAll('#talk li.assistant')].at(-1).textContent")
    ask(page, "abc>")
    page.run("document.getElementById('tie').click()")
    page.wait("document.getElementById('said').textContent.startsWith('Kept. The conv')")
    kept, tie = map(json.loads, rows.read_text().splitlines()[before:])
    assert {r["response"] for r in kept["responses"] if r["score"] == 1} == {shown}
    assert {r["score"] for r in tie["responses"]} - {None} == {0.5}
    taken = feedback_rows.take(str(rows.parent), {}, None, set()).rows
    assert len(taken) >= before + 2  # all that the page wrote can be read

    page.run("document.getElementById('tab-jobs').click()")
    page.wait("document.querySelectorAll('#list svg').length >= 2")
    name = json.dumps(f"deploy {tuned.fine_tuned_model}")
    page.run(
      f"[...document.querySelectorAll('button')].find(b => b.textContent === {name}).click()"
    )
    page.wait(f"document.getElementById('now').textContent === '{tuned.fine_tuned_model}'")
    page.run("document.getElementById('back').click()")
    page.wait("document.getElementById('now').textContent === 'base'")
    assert page.run("document.querySelectorAll('#rounds tr').length") >= 2
    assert page.console == []


def test_the_page_runs_its_own_script_alone_and_draws_as_the_deployment_does(server):
  answer = httpx.get(server.url)
  policy = answer.headers["content-security-policy"]
  assert "default-src 'none'" in policy and "unsafe" not in policy
  assert "innerHTML" not in answer.text
  assert 'data-chats="no" data-temperature="1.0" data-top-p="1.0"' in answer.text


def test_two_requests_of_one_key_are_one_job(client):
  file, method = upload(client, PAIRS).id, {"type": "dpo"}
  made = [
    client.fine_tuning.jobs.create(
      model="base", training_file=file, method=method, extra_headers={"Idempotency-Key": "once"}
    )
    for _ in range(2)
  ]
  assert made[0].id == made[1].id
  assert client.fine_tuning.jobs.cancel(made[0].id).status == "cancelled"


def test_one_process_serves_a_deployment(place, server):
  del server
  second = Server(place)
  assert second.process.wait() == 2
  second.stop()
