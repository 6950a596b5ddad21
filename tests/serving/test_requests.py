"""A request is read whole, or refused by the name of the field that is wrong. No model here."""

import json

import pytest

from serving import chat_request, fields, job_request
from serving.errors import ApiError, invalid

CHAT = {"model": "current", "messages": [{"role": "user", "content": "stone>"}]}


def refused(call, *arguments):
  with pytest.raises(ApiError) as error:
    call(*arguments)
  assert error.value.body["error"]["type"] == "invalid_request_error"
  assert json.dumps(error.value.body)
  return error.value


def test_a_request_has_the_apis_defaults():
  request = chat_request.read(CHAT)
  assert (request.n, request.temperature, request.top_p) == (1, 1.0, 1.0)
  assert request.max_tokens is None and request.seed is None and request.stop == ()
  assert not (request.logprobs or request.stream)


def test_nulls_and_fields_that_ask_nothing_are_fine():
  names = ("temperature", "top_p", "n", "stop", "seed", "max_tokens", "tools", "logprobs", "user")
  nothing = dict.fromkeys(names)
  neutral = {"presence_penalty": 0, "response_format": {"type": "text"}, "user": "me", "tools": []}
  for more in (nothing, neutral, {"store": False, "metadata": {"a": "b"}}):
    assert chat_request.read(CHAT | more) == chat_request.read(CHAT)


def test_parts_of_text_are_joined_and_developers_are_the_system():
  parts = [{"type": "text", "text": "sto"}, {"type": "text", "text": "ne>"}]
  messages = [{"role": "developer", "content": "be kind"}, {"role": "user", "content": parts}]
  found = chat_request.read(CHAT | {"messages": messages}).messages
  assert found == [
    {"role": "system", "content": "be kind"},
    {"role": "user", "content": "stone>"},
  ]


@pytest.mark.parametrize(
  ("field", "value", "param"),
  [
    *(("n", value, "n") for value in (0, 9, 1.5, "2", True, -1)),
    *(("temperature", value, "temperature") for value in (-0.1, 2.1, "1", True, [], 10**400)),
    *(("top_p", value, "top_p") for value in (0, 1.1, -1, "x")),
    *(("max_tokens", value, "max_tokens") for value in (0, -1, 1.0, 2**31)),
    *(("seed", value, "seed") for value in (1.5, "a", 2**63)),
    *(("stop", value, "stop") for value in ([""], 5, ["a"] * 5, [1])),
    *(("logprobs", value, "logprobs") for value in (1, "yes")),
    ("model", 3, "model"),
    ("model", "", "model"),
    ("stream_options", {"include_usage": 1}, "stream_options.include_usage"),
    ("tools", [{"type": "function"}], "tools"),
    ("response_format", {"type": "json_object"}, "response_format"),
    ("presence_penalty", 0.5, "presence_penalty"),
    ("top_logprobs", 3, "top_logprobs"),
    ("reasoning_effort", "high", "reasoning_effort"),
    ("messages", None, "messages"),
    ("messages", [], "messages"),
    ("messages", "hello", "messages"),
    ("messages", ["hello"], "messages[0]"),
    ("messages", [{"role": "robot", "content": "a"}], "messages[0].role"),
    ("messages", [{"role": "tool", "content": "a"}], "messages[0].role"),
    ("messages", [{"content": "a"}], "messages[0].role"),
    ("messages", [{"role": "user"}], "messages[0].content"),
    ("messages", [{"role": "user", "content": [{"type": "image_url"}]}], "messages[0].content[0]"),
    ("messages", [{"role": "user", "content": "a", "x": 1}], "messages[0].x"),
    ("max_token", 3, "max_token"),
    ("max_completion_tokens", 0, "max_completion_tokens"),
  ],
)
def test_a_wrong_field_is_named(field, value, param):
  error = refused(chat_request.read, CHAT | {field: value})
  assert error.param == param and error.status == 400


def test_an_unknown_field_is_told_its_nearest():
  error = refused(chat_request.read, CHAT | {"temprature": 1})
  assert error.code == "unknown_parameter" and "temperature" in str(error)
  both = refused(chat_request.read, CHAT | {"max_tokens": 3, "max_completion_tokens": 3})
  assert "give one of them" in str(both)


@pytest.mark.parametrize(
  "body",
  [
    *(b"", b"{", b"[1]", b"null", b'"a"', b"\xff", b'{"n": NaN}', b"[" * 100_000, b"1" * 10_000),
    *(b'{"n": 1e999}', b'{"n": "\\ud800"}', b'{"\\ud800": 1}'),  # what JSON itself could not repeat
  ],
  ids=lambda body: repr(body[:10]),
)
def test_what_is_no_object_of_json_is_refused(body):
  assert refused(fields.parse, body).code == "invalid_json"


def test_what_is_long_is_not_repeated_whole():
  for field, value in (("n", "x" * 100_000), ("n", [[9] * 900] * 900), ("x" * 100_000, 1)):
    assert len(json.dumps(refused(chat_request.read, CHAT | {field: value}).body)) < 600


JOB = {"model": "current", "training_file": "feedback"}


def with_method(kind, **numbers):
  return JOB | {"method": {"type": kind, kind: {"hyperparameters": numbers}}}


def test_a_job_is_read_with_its_hyperparameters():
  found = job_request.read(with_method("dpo", beta=0.2, n_epochs="auto", batch_size=8))
  assert found["hyperparameters"] == {"beta": 0.2, "batch_size": 8}
  assert found["method"] == "dpo" and found["seed"] == 0
  assert job_request.read(JOB)["method"] == "dpo"
  assert job_request.read(with_method("supervised"))["method"] == "sft"


@pytest.mark.parametrize(
  ("body", "param"),
  [
    ({"training_file": "feedback"}, "model"),
    ({"model": "current"}, "training_file"),
    (with_method("ppo"), "method.type"),
    (with_method("sft", beta=1), "method.sft.hyperparameters.beta"),
    (with_method("dpo", beta=-1), "method.dpo.hyperparameters.beta"),
    (with_method("dpo", n_epochs=0), "method.dpo.hyperparameters.n_epochs"),
    (with_method("dpo", batch_size=1.5), "method.dpo.hyperparameters.batch_size"),
    (
      with_method("grpo", learning_rate_multiplier=0),
      "method.grpo.hyperparameters.learning_rate_multiplier",
    ),
    (with_method("dpo") | {"suffix": "a/b"}, "suffix"),
    (with_method("dpo") | {"validation_file": "file-1"}, "validation_file"),
    (JOB | {"method": {"type": "dpo", "sft": {}}}, "method.sft"),
    (JOB | {"method": "dpo"}, "method"),
    (JOB | {"other": 1}, "other"),
  ],
)
def test_a_wrong_field_of_a_job_is_named(body, param):
  assert refused(job_request.read, body).param == param


@pytest.mark.parametrize(
  "file",
  [
    *("../evil.py", "/etc/passwd", "configs/../setup.py", "tests/conftest.py", "mylab.configs:f"),
    *("configs", "configs/\0.py", "configs/grpo.py:f=os:system", "configs/sub/../../setup.py"),
  ],
)
def test_a_config_is_one_of_the_projects_own(file):
  assert refused(job_request.of_file, file, {}, "").code == "invalid_config"


def test_overrides_of_a_config_name_no_code():
  error = refused(job_request.of_file, "configs/dpo.py", {"algorithm.loss": "os:system"}, "")
  assert "code of your own" in str(error)
  config = job_request.of_file("configs/dpo.py", {"steps": 3}, "runs/a")
  assert config.steps == 3 and config.base.run == "runs/a"
  slip = refused(job_request.of_file, "configs/dpo.py", {"stepz": 3}, "")
  assert "stepz" in str(slip)


def test_an_error_has_the_apis_shape():
  assert invalid("n", "too many").body == {
    "error": {
      "message": "too many",
      "type": "invalid_request_error",
      "param": "n",
      "code": "invalid_value",
    }
  }
  assert ApiError(429, "later").body["error"]["type"] == "rate_limit_error"
  assert ApiError(507, "full").body["error"]["type"] == "server_error"
