"""A process that calls rewards: `python -m tasks.rewards.worker FD`, started by workers.Workers.

The connection first brings the terms; the answer is what is wrong with them ("" if nothing) and
what each takes. Then every job, (term, what it takes of a response), is answered by an Outcome.
"""

import faulthandler
import os
import sys
from multiprocessing.connection import Connection

from tasks.rewards.function import RewardFunction

LATER = 5.0  # seconds after the time limit


def main() -> int:
  connection = Connection(int(sys.argv[1]))
  try:
    terms, seconds = connection.recv()
    try:
      functions = [RewardFunction(term) for term in terms]
    except ValueError as error:
      connection.send((str(error), []))
      return 1
    connection.send(("", [function.takes for function in functions]))
    with open(os.devnull, "w") as nowhere:
      while True:
        term, response = connection.recv()
        # Who waits for the answer kills this process at the limit. Should nobody be left to do so,
        # it ends by itself: from a thread that needs no interpreter, which a pattern may hold.
        faulthandler.dump_traceback_later(seconds + LATER, exit=True, file=nowhere)
        outcome = functions[term](response)
        faulthandler.cancel_dump_traceback_later()
        connection.send(outcome)
  except (EOFError, OSError):  # nobody asks any more
    return 0


if __name__ == "__main__":
  sys.exit(main())
