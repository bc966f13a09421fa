"""Durable ends: an end that no engine takes is brought to the disk by the supervisor that recorded it.

An exit is recorded as a name, without fsync, because an engine that runs publishes the end at once, durably.
Where no engine does (it is stopped, busy or gone), finished work would be lost by a power cut: the name may
be on the disk then, and what it tells of is not (0 bytes, by delayed allocation). So:

1. `remember` each end that is recorded.
2. `look`, called when the supervisor wakes up anyway, and at latest when `timeout` has passed: an end of
   about a second ago whose name is still in its folder has not been taken. An engine that takes an end
   renames the folder.
3. Sync what the outcome is made of (_PARTS) and the folder. Then make the name with `-synced`, and sync the
   folder and run/. A thread does it, because a slow disk must not stop the output of the next program.
4. `finish`: before the supervisor ends, it does the same at once for all that are left.

The invariant: the synced name is made after everything else is on the disk. When a sync fails, it is never
made: after an error the kernel may call pages clean that were not written, and a second fsync would lie. The
end counts then until the host goes down, as it would have anyway. Other transient errors are retried.

Dropped: to sync every end before it is reported (one job costs 10 % more), an acknowledgement by the engine
(the folder tells the same), and syncfs(2), which brings everybody's files to the disk. To make the name a
further link of process.json, which may have as many as a file can have.
"""

from __future__ import annotations

import _thread
import contextlib
import errno
import os
import select
import stat
import time

from .exit_names import synced_name
from .protocol import ATTEMPT, PROCESS, RESULT_FILES, STDERR, STDOUT

_PATIENCE = 1.0
"""Seconds that an engine has to take an end."""
_TOGETHER = 0.5
"""Seconds by which an end may be looked for earlier, together with an older one."""
_RETRY_DELAY = 0.5
_PARTS = (*RESULT_FILES.values(), STDOUT, STDERR, ATTEMPT, PROCESS)
"""The files of an attempt's folder that its outcome is made of; job.json is on the disk since the accept."""
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_TRANSIENT = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)


class DurableEnds:
    """The ends that a supervisor has recorded and no engine has taken yet. It lives as long as the process.

    Only the supervisor's main thread may use it. A forked program has no part in it. When the supervisor is
    killed, its ends stay as they are recorded: they count until the host goes down.
    """

    def __init__(self) -> None:
        self._recorded: list[tuple[float, str, str]] = []
        """When each end was recorded, in which folder and by which name; the oldest first."""
        self._due: list[tuple[str, str]] = []
        """The ends that the thread has to sync."""
        self._working = _thread.allocate_lock()
        """Held while there is a thread."""

    def remember(self, folder: str, name: str) -> None:
        """Take an end that was recorded at this moment."""
        self._recorded.append((time.monotonic(), folder, name))

    def timeout(self) -> float | None:
        """Return in how many milliseconds `look` has to be called at latest; None if there is no need."""
        if not self._recorded:
            return None
        return max(0.0, self._recorded[0][0] + _PATIENCE - time.monotonic()) * 1000

    def wait_for(self, poll: select.poll) -> None:
        """Wait until one of the poll's descriptors is ready, and `look` when it is time."""
        while not poll.poll(self.timeout()):
            self.look()

    def wait_until_taken(self, connection: int) -> None:
        """Wait until the engine closes its end of the connection, or has had its time."""
        poll = select.poll()
        poll.register(connection, 0)  # a hang-up is reported always
        poll.poll(_PATIENCE * 1000)

    def look(self) -> None:
        """Have those ends synced that were not taken in time. Returns at once."""
        now = time.monotonic()
        if self._recorded and self._recorded[0][0] + _PATIENCE <= now:
            self._take(now - _PATIENCE + _TOGETHER)
            self._begin()

    def finish(self) -> None:
        """Sync all ends that are not taken, and return when it is done: this process is about to end."""
        self._take(time.monotonic())
        with self._working:
            self._sync_all()

    def _take(self, until: float) -> None:
        """Make those ends due that were recorded until then, and are still in their folders."""
        while self._recorded and self._recorded[0][0] <= until:
            _, folder, name = self._recorded.pop(0)
            if os.path.lexists(os.path.join(folder, name)):
                self._due.append((folder, name))

    def _begin(self) -> None:
        """Start the thread, unless there is one or there can't be; it looks for further ends at its end."""
        if self._due and self._working.acquire(blocking=False):
            try:
                _thread.start_new_thread(self._work, ())
            except RuntimeError:
                self._work()

    def _work(self) -> None:
        while True:
            try:
                self._sync_all()
            finally:
                self._working.release()
            if not self._due or not self._working.acquire(blocking=False):
                return

    def _sync_all(self) -> None:
        while self._due:
            make_durable(*self._due.pop(0))


def make_durable(folder: str, name: str) -> bool:
    """Bring an attempt's end to the disk and record that; return False if it was taken, or a sync fails."""
    while True:
        try:
            _make_durable(folder, name)
        except _NotSynced:
            return False
        except OSError as error:
            if error.errno not in _TRANSIENT:
                return False
            time.sleep(_RETRY_DELAY)
        else:
            return True


class _NotSynced(Exception):
    """A sync has failed, and another one would prove nothing."""


def _make_durable(folder: str, name: str) -> None:
    # All names are looked up in the open folder: its path may be the job's next attempt by now.
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.stat(name, dir_fd=fd, follow_symlinks=False)
        for part in _PARTS:
            _sync_file(fd, part)
        _sync(fd)
        with contextlib.suppress(FileExistsError):  # of an earlier try
            os.close(os.open(synced_name(name), _CREATE, 0o640, dir_fd=fd))
        _sync(fd)
    finally:
        os.close(fd)
    run_fd = os.open(os.path.dirname(folder), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _sync(run_fd)
    finally:
        os.close(run_fd)


def _sync_file(folder_fd: int, name: str) -> None:
    """Sync a file if there is one; what a program has put in its place is left alone."""
    try:
        fd = os.open(name, _READ, dir_fd=folder_fd)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.EACCES):
            return
        raise
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            _sync(fd)
    finally:
        os.close(fd)


def _sync(fd: int) -> None:
    try:
        os.fsync(fd)
    except OSError as error:
        raise _NotSynced from error
