"""Processes that are stopped: killed, asked to end, or halted for a while, at a random moment."""

import signal
import time

from tests.chaos.starts import Process, kill_all
from tests.chaos.trials import STOPS_IN, Trial, Watch, Whole

LIVES = 10  # that a run is stopped in, at most


def wait_for_a_moment(trial: Trial, whole: Whole, processes: list[Process]) -> bool:
  """Waits until a random moment of this life; returns whether anything still runs then.

  Half of the moments are spread over the time that a whole life takes, half lie at (and up to 30 ms
  after) a change in the work's folders, of which there are many in a part of that time.
  """
  first = processes[0]
  if trial.random.random() < 0.5:
    first.wait(trial.random.uniform(0.0, whole.seconds))
  else:
    changes = trial.random.randint(1, max(1, whole.changes // 3))
    watch, until = Watch(trial.folder, whole.folders), time.monotonic() + 3 * whole.seconds
    while watch.look() < changes and time.monotonic() < until and not first.wait(0.003):
      pass
    first.wait(trial.random.uniform(0.0, 0.03))
  return any(process.code is None for process in processes)


def kill(trial: Trial, whole: Whole) -> None:
  """kill -9 of the process; of several that train together, of one of them."""
  _again_and_again(trial, whole, _kill)


def kill_group(trial: Trial, whole: Whole) -> None:
  """kill -9 of the process group."""
  _again_and_again(trial, whole, lambda trial, one: one.send(signal.SIGKILL, to_group=True))


def terminate(trial: Trial, whole: Whole) -> None:
  _again_and_again(trial, whole, _asked(signal.SIGTERM))


def interrupt(trial: Trial, whole: Whole) -> None:
  """^C: to the process group, and sometimes twice."""
  _again_and_again(trial, whole, _asked(signal.SIGINT))


def hang_up(trial: Trial, whole: Whole) -> None:
  _again_and_again(trial, whole, _asked(signal.SIGHUP))


def _again_and_again(trial: Trial, whole: Whole, stop) -> None:
  """Starts the work and stops it, up to LIVES times; then lets it end."""
  for _ in range(trial.random.randint(LIVES // 2, LIVES)):
    processes = trial.start()
    if not wait_for_a_moment(trial, whole, processes):
      break
    below = [pid for process in processes for pid in process.descendants()]
    one = trial.random.choice(processes)
    stop(trial, one)
    trial.injected += 1
    _others_end(trial, processes, one)
    trial.see_ended(below)
    trial.let_end(processes)
    if trial.wrong:
      return
  trial.finish()


def _others_end(trial: Trial, processes: list[Process], one: Process) -> None:
  """Of processes that train together, ends the rest as a cluster does: at once, or soon."""
  if not one.wait(STOPS_IN):
    trial.wrong.append(f"start {trial.starts} did not stop within {STOPS_IN:.0f} s")
  if len(processes) > 1:
    time.sleep(trial.random.choice((0.0, 2.0)))
    for process in processes:
      process.send(signal.SIGKILL)


def _kill(trial: Trial, one: Process) -> None:
  one.send(signal.SIGKILL)


def _asked(number: int):
  def stop(trial: Trial, one: Process) -> None:
    one.send(number, to_group=number == signal.SIGINT)
    if trial.random.random() < 0.3:  # half of them while the first is still looked at
      one.wait(trial.random.uniform(0.0, trial.random.choice((0.03, 1.0))))
      one.send(number, to_group=number == signal.SIGINT)

  return stop


def kill_worker(trial: Trial, whole: Whole) -> None:
  """kill -9 of one of the processes that it started, which it is to replace or to tell of."""
  for _ in range(trial.random.randint(1, 4)):
    processes = trial.start()
    wait_for_a_moment(trial, whole, processes)
    workers = [pid for process in processes for pid in process.descendants()]
    if not workers:
      trial.let_end(processes)
      break
    kill_all([trial.random.choice(workers)])
    trial.injected += 1
    trial.let_end(processes)
    if trial.wrong:
      return
  trial.finish()


def halt(trial: Trial, whole: Whole) -> None:
  """SIGSTOP and SIGCONT: a disk, or a machine, that does not answer for up to two seconds."""
  processes = trial.start()
  for _ in range(trial.random.randint(1, 6)):
    if not wait_for_a_moment(trial, whole, processes):
      break
    for process in processes:
      process.send(signal.SIGSTOP, to_group=True)
    time.sleep(trial.random.uniform(0.05, 2.0))
    for process in processes:
      process.send(signal.SIGCONT, to_group=True)
    trial.injected += 1
  trial.let_end(processes)
  if any(process.code for process in processes):
    trial.wrong.append(f"ended with {[process.code for process in processes]}")
    return
  trial.finish()
