"""The watch of one flat folder: by watchdog where that is possible, by polling otherwise.

watchdog can look alive while nothing comes any more: one of its threads has died, or the folder was removed
and made again, so that the kernel's watch is on a folder that is gone. So the folder is held open, and
compared with what has its name now; an inode that is open is not given to another folder.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

_LIMITS = {
    errno.EMFILE: "the limit of inotify instances (fs.inotify.max_user_instances) or open files is reached",
    errno.ENOSPC: "the limit of inotify watches (fs.inotify.max_user_watches) is reached",
}


class FolderWatch:
    """A folder that is watched or polled, from `start` to `stop`; used in one thread at a time."""

    def __init__(
        self, path: Path, handler: FileSystemEventHandler, events: Sequence[type[FileSystemEvent]]
    ) -> None:
        self.path = path
        self.trouble: str | None = None
        """Why the folder is polled; None if it is watched."""
        self.was_missing = False
        """Whether there was no such folder when the watch could not be started."""
        self._handler = handler
        self._events = list(events)
        self._watchdog: BaseObserver | None = None
        self._fd: int | None = None
        self._stamp: tuple[int, ...] = ()
        self._once_more = False

    @property
    def watched(self) -> bool:
        """Whether watchdog's threads are alive, and watch the folder that has the name now."""
        watchdog = self._watchdog
        if watchdog is None or self._fd is None:
            return False
        threads = [watchdog, *watchdog.emitters, getattr(watchdog, "_inotify_fd", None)]
        alive = all(thread.is_alive() for thread in threads if isinstance(thread, Thread))
        try:
            return alive and os.path.samestat(os.fstat(self._fd), self.path.stat())
        except OSError:
            return False

    @property
    def missing(self) -> bool:
        """Whether there is no such folder."""
        return not self.path.is_dir()

    def start(self) -> bool:
        """Begin to watch; return False if that is not possible now, and the folder is to be polled."""
        try:
            self._start()
        except (OSError, RuntimeError) as error:
            self.was_missing = self.missing
            known = {**_LIMITS, errno.ENOENT: "there is no such folder"}
            self.trouble = known.get(getattr(error, "errno", None) or 0, str(error))
            self.stop()
            return False
        self.trouble = None
        return True

    def _start(self) -> None:
        # Not only to hold it: watchdog takes no notice when the kernel forbids a watch (EACCES).
        self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._watchdog = watchdog = Observer()
        watchdog.schedule(
            self._handler, os.path.realpath(self.path), recursive=False, event_filter=self._events
        )
        watchdog.start()

    def stop(self) -> None:
        """End the watch, whatever its state is."""
        if self._watchdog is not None:
            self._watchdog.stop()
            with suppress(RuntimeError):  # it was never started
                self._watchdog.join()
            self._watchdog = None
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def changed(self) -> bool:
        """Return whether entries may have come or gone since the last call."""
        try:
            folder = self.path.stat()
        except OSError:
            return False
        stamp = (folder.st_dev, folder.st_ino, folder.st_mtime_ns)
        if stamp != self._stamp:
            # The kernel's clock is coarse: what comes in the same tick does not change the time again.
            self._stamp, self._once_more = stamp, True
            return True
        once_more, self._once_more = self._once_more, False
        return once_more
