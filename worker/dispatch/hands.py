"""A few threads that do one kind of job side by side: as many letters leave at the same time as a channel takes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import TracebackType
from typing import Generic, Self, TypeVar

Job = TypeVar("Job")


class Hands(Generic[Job]):
    """Does what it is given, `many` jobs at a time; with one hand the caller does it itself, so that nothing varies.

    What a job raises is raised to the caller, at the next call or at the end. `last` is what each thread does before it
    ends, as letting go of its database connection.
    """

    def __init__(self, many: int, do: Callable[[Job], None], last: Callable[[], None]) -> None:
        """No thread runs before there is a job for it."""
        self._many, self._do, self._last = many, do, last
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()
        self._open = self._finished = 0
        self._error: BaseException | None = None

    def give(self, job: Job) -> None:
        """Have a job done; waits until a hand is free."""
        if self._many <= 1:
            self._do(job)
            return
        with self._changed:
            self._changed.wait_for(lambda: self._open < self._many)
            self._raise()
            self._open += 1
            if len(self._threads) < min(self._many, self._open):
                thread = threading.Thread(target=self._work, name=f"hand-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
        self._jobs.put(job)

    def wait(self) -> bool:
        """Wait until one more job is done; False where none is under way."""
        with self._changed:
            self._raise()
            if not self._open:
                return False
            before = self._finished
            self._changed.wait_for(lambda: self._finished > before)
            self._raise()
            return True

    def __enter__(self) -> Self:
        """Give jobs inside the block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Wait for all that is under way, then let the threads go."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        if error is None:
            self._raise()

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _work(self) -> None:
        try:
            while (job := self._jobs.get()) is not None:
                error = self._done(job)
                with self._changed:
                    self._open -= 1
                    self._finished += 1
                    self._error = self._error or error
                    self._changed.notify_all()
        finally:
            self._last()

    def _done(self, job: Job) -> BaseException | None:
        try:
            self._do(job)
        except BaseException as error:  # noqa: BLE001  it is raised to whoever gave the job
            return error
        return None
