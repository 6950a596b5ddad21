"""Errors that a person reads in a line or two, without a traceback.

Exit codes of every command: 0 done, 1 some runs of a sweep failed, 2 a UserError, 3 Diverged,
130 interrupted.
"""


class UserError(Exception):
  """Says what is wrong, where, and what to type instead; one problem a line."""


class OutOfMemory(UserError):
  """A config cannot fit, as is known before anything is allocated."""


class Diverged(Exception):
  """Training left the finite numbers; the message names the metric, step and last checkpoint."""


class Stopped(Exception):
  """Whoever watches a run ended it early; the message says why. The run did not fail."""
