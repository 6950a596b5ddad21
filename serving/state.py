"""A service's memory, in one SQLite file: its jobs, and the answers that it gave.

A job is on the disk before the client is told of it. An answer waits for feedback; it is written
without waiting for the disk, which a killed process does not lose, and the latest ANSWERS are kept.
"""

import contextlib
import errno
import json
import sqlite3
import threading
import time
from collections.abc import Generator, Mapping
from typing import Any

from training.records import full_disk

ANSWERS = 20_000
_TABLES = """
create table if not exists jobs (
  number integer primary key autoincrement, id text unique not null, key text unique,
  status text not null, about text not null);
create table if not exists answers (
  number integer primary key autoincrement, id text unique not null, about text not null);
"""


class State:
  """The file, open. One process at a time has it; its methods may be called from any thread."""

  def __init__(self, path: str):
    self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    self._connection.execute("pragma journal_mode=wal")
    self._connection.executescript(_TABLES)
    self._lock = threading.Lock()

  def add_job(self, job: Mapping[str, Any], key: str | None) -> dict[str, Any]:
    """Keeps a new job and returns it; or the one that came before with this key."""
    with self._writing() as connection:
      if key and (found := self._one("select about from jobs where key = ?", key)):
        return found  # two came at once
      row = (job["id"], key, job["status"], json.dumps(job))
      connection.execute("insert into jobs (id, key, status, about) values (?, ?, ?, ?)", row)
      return dict(job)

  def change_job(self, job_id: str, said: str = "", level: str = "info", **fields: Any) -> None:
    """Sets fields of a job, `status` among them, and adds what is said to its events."""
    with self._writing() as connection:
      job = self._one("select about from jobs where id = ?", job_id) | fields
      if said:
        job["events"].append({"time": time.time(), "level": level, "message": said})
      row = (job["status"], json.dumps(job), job_id)
      connection.execute("update jobs set status = ?, about = ? where id = ?", row)

  def job(self, job_id: str) -> dict[str, Any] | None:
    with self._lock:
      return self._one("select about from jobs where id = ?", job_id)

  def job_of_key(self, key: str) -> dict[str, Any] | None:
    with self._lock:
      return self._one("select about from jobs where key = ?", key)

  def jobs(self, *statuses: str) -> list[dict[str, Any]]:
    """All jobs, the oldest first; or those of these statuses."""
    where = f"where status in ({', '.join('?' * len(statuses))})" if statuses else ""
    with self._lock:
      found = self._connection.execute(f"select about from jobs {where} order by number", statuses)
      return [json.loads(about) for (about,) in found]

  def add_answers(self, completion_id: str, about: Mapping[str, Any]) -> None:
    """Keeps the answers of a completion, and forgets the oldest."""
    with self._writing(durable=False) as connection:
      row = (completion_id, json.dumps(about))
      number = connection.execute("insert into answers (id, about) values (?, ?)", row).lastrowid
      connection.execute("delete from answers where number <= ?", ((number or 0) - ANSWERS,))

  def answers(self, completion_id: str) -> dict[str, Any] | None:
    with self._lock:
      return self._one("select about from answers where id = ?", completion_id)

  def _one(self, query: str, value: str) -> Any:
    found = self._connection.execute(query, (value,)).fetchone()
    return json.loads(found[0]) if found else None

  @contextlib.contextmanager
  def _writing(self, durable: bool = True) -> Generator[sqlite3.Connection]:
    with self._lock:
      self._connection.execute(f"pragma synchronous={'full' if durable else 'normal'}")
      self._connection.execute("begin immediate")
      try:
        yield self._connection
        self._connection.execute("commit")
      except BaseException:
        if self._connection.in_transaction:
          self._connection.execute("rollback")
        raise


def is_full(error: BaseException) -> bool:
  """Whether a write failed because the disk, or the file's limit, is full."""
  if isinstance(error, sqlite3.OperationalError):
    return error.sqlite_errorcode in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE)
  return isinstance(error, OSError) and error.errno in (*full_disk.FULL, errno.EFBIG)
