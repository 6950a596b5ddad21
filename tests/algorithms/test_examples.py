"""The examples in docstrings give the numbers that they show."""

import doctest

import algorithms


def test_the_packages_example():
  failed, tried = doctest.testmod(algorithms)
  assert tried > 5 and failed == 0
