import dataclasses

import numpy as np
import pytest

from tasks import sentiment, task_functions
from tasks.making import generated_task
from tasks.rewards.texts import vader
from tasks.rows.row import text_of
from tasks.sentiment import INSTRUCTION
from tasks.tokenizers.tokenizer import CharTokenizer


class ChattyTokenizer(CharTokenizer):
  chats = True


TOKENIZER, CHATTY = CharTokenizer(), ChattyTokenizer()


def sentiment_task(tokenizer, **about):
  return generated_task(task_functions.find("sentiment"), tokenizer=tokenizer, **about)


def small(tokenizer=TOKENIZER):
  return sentiment_task(tokenizer, train_prompts=300, evaluation_prompts=100)


def test_no_opening_comes_twice_and_none_that_is_evaluated_is_trained_on():
  assert len(set(sentiment.openings())) == len(sentiment.openings()) > 2000
  prompts = [item.prompt for item in small().train + small().evaluation]
  assert len(set(prompts)) == len(prompts) == 400


def test_the_evaluation_openings_do_not_depend_on_how_many_there_are_to_train_on():
  assert sentiment_task(TOKENIZER, train_prompts=7, evaluation_prompts=100).evaluation == (
    small().evaluation
  )


def test_the_openings_are_neutral_on_the_whole():
  rewards = [vader(text_of(item.prompt)) for item in small().train]
  assert 0.4 < np.mean(rewards) <= 0.5


def test_the_reward_is_the_cheer_of_a_text_from_0_to_1():
  sad, neutral, glad = (vader(text) for text in ("He cried. Awful!", "He sat.", "So happy!"))
  assert 0 <= sad < 0.2 < neutral == 0.5 < 0.7 < glad <= 1
  assert vader("") == 0.5


def test_a_continuation_that_reached_the_limit_is_scored_as_it_stands():
  task = small()
  ids = np.array([[TOKENIZER.encode("happy")] * 2])
  cut, ended = task.rewards(task.train[:1], ids, np.array([[False, True]]))[0]
  assert cut == ended == pytest.approx(vader("happy"))
  strict = dataclasses.replace(task, scores_unfinished=False)
  assert strict.rewards(task.train[:1], ids, np.array([[False, True]]))[0].tolist() == [0, ended]


def test_a_model_that_chats_is_asked_to_continue():
  opening, request = (text_of(small(t).train[0].prompt) for t in (TOKENIZER, CHATTY))
  assert request == INSTRUCTION + opening


def test_too_few_openings_is_an_error_that_counts_them():
  with pytest.raises(ValueError, match="has only 23,040 distinct prompts; .* = 30,100"):
    sentiment_task(TOKENIZER, train_prompts=30000, evaluation_prompts=100)
