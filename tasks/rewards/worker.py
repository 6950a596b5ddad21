"""A process that calls rewards: `python -m tasks.rewards.worker FD`, started by workers.Workers.

The connection first brings the terms; the answer is what is wrong with them ("" if nothing) and
what each takes. Then every job, (its number, term, what it takes of a response), is answered by
(this process, the number, an Outcome). Answers are JSON: whatever a response makes of this process,
it cannot hand objects to the one that trains.
"""

import json
import os
import signal
import sys
from multiprocessing.connection import Connection
from typing import Any

from tasks.rewards.function import RewardFunction

LATER = 5.0  # seconds after the time limit


def main() -> int:
  connection, process = Connection(int(sys.argv[1])), os.getpid()
  try:
    terms, seconds = connection.recv()
    try:
      functions = [RewardFunction(term) for term in terms]
    except ValueError as error:
      _answer(connection, str(error), [])
      return 1
    _answer(connection, "", [function.takes for function in functions])
    while True:
      number, term, response = connection.recv()
      # Who waits for the answer kills this process at the limit. Should nobody be left to do so,
      # the kernel ends it, also where a pattern never gives the interpreter back.
      signal.setitimer(signal.ITIMER_REAL, seconds + LATER)
      outcome = functions[term](response)
      if os.getpid() != process:
        os._exit(0)  # a child that the function forked, which is not to answer for its parent
      signal.setitimer(signal.ITIMER_REAL, 0)
      _answer(connection, process, number, outcome)
  except (EOFError, OSError):  # nobody asks any more
    return 0


def _answer(connection: Connection, *message: Any) -> None:
  connection.send_bytes(json.dumps(message).encode())


if __name__ == "__main__":
  sys.exit(main())
