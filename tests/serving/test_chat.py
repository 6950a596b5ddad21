"""Requests that come together share a batch: which ones, and how many. No model here."""

import pytest

from serving.answer import Answer
from serving.batches import Row, doubled
from serving.chat import WAITING, Asked, Chat
from serving.errors import ApiError
from serving.policies import Policies
from tasks.tokenizers.tokenizer import CHARACTER_TOKENIZER


def asked(n=1, folder="", length=5):
  answers = [Answer(i, CHARACTER_TOKENIZER, 8, ()) for i in range(n)]
  rows = [Row([5] * length, 1.0, 1.0, (0, i), answer) for i, answer in enumerate(answers)]
  return Asked(folder, rows, lambda: None)


@pytest.fixture
def chat():
  return Chat(object.__new__(Policies))  # it draws nothing here


def taken(chat, *requests):
  for one in requests:
    chat.ask(one)
  found = []
  while together := chat._take():
    found.append([requests.index(one) for one in together])
  return found


def test_a_batch_has_room_for_32_answers(chat):
  assert taken(chat, *(asked(8) for _ in range(5))) == [[0, 1, 2, 3], [4]]


def test_a_small_request_fills_the_room_that_a_larger_one_leaves(chat):
  assert taken(chat, asked(8), *(asked(7) for _ in range(4)), asked(3)) == [[0, 1, 2, 3, 5], [4]]


def test_other_policies_and_longer_prompts_have_batches_of_their_own(chat):
  requests = [asked(), asked(folder="a"), asked(length=40), asked(), asked(folder="a"), asked()]
  assert taken(chat, *requests) == [[0, 3, 5], [1, 4], [2]]


def test_who_has_gone_is_not_answered(chat):
  gone, there = asked(), asked()
  gone.is_left = True
  assert taken(chat, gone, there) == [[1]]


def test_too_many_that_wait_are_refused(chat):
  for _ in range(WAITING):
    chat.ask(asked())
  with pytest.raises(ApiError) as refused:
    chat.ask(asked())
  assert refused.value.status == 429 and refused.value.code == "queue_full"


def test_shapes_are_few():
  assert [doubled(32, n) for n in (1, 32, 33, 64, 65, 1000)] == [32, 32, 64, 64, 128, 1024]
