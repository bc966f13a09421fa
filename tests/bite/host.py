"""What keeps the promise on the host: identities, exits, durable ends, and what a program can't reach."""

from __future__ import annotations

from tests.bite.change import Change, no_follow, passed, without

_HOST = "plugins/treadle_python"
_INSIDE = f"{_HOST}/treadle_inside"
_TESTS = "tests/unit/plugins"
_RUNTIME = f"{_TESTS}/test_python_runtime.py"
_EXITS = f"{_TESTS}/test_exits.py"
_ENDS = f"{_TESTS}/forking/test_durable_ends.py"
_RESULTS = f"{_TESTS}/test_result_file.py"
_SIGNALS = f"{_TESTS}/test_signalfd.py"
_ISOLATION = "tests/acceptance/test_isolation.py"
_HOSTILE = "tests/acceptance/test_hostile_folders.py"

_IDENTITIES = (
    Change(
        "link, not rename, of a supervisor's identity",
        f"{_INSIDE}/identity.py",
        "os.link(draft, os.path.join(folder, name))",
        "os.rename(draft, os.path.join(folder, name)); open(draft, 'w').close()",
        _RUNTIME,
    ),
    Change(
        "link, not rename, of the word that no supervisor may start",
        f"{_HOST}/supervisor_handle.py",
        "os.link(draft, folder / PROCESS)",
        "draft.rename(folder / PROCESS); draft.touch()",
        _RUNTIME,
    ),
    Change(
        "the identity that a supervisor tells its engine",
        f"{_INSIDE}/supervisor.py",
        'STARTED + self._identity.content if "boot" in fields else STARTED',
        "STARTED",
        _EXITS,
        "moves_its_folder",
    ),
    Change(
        "a stop that asks the link, and not the folder",
        f"{_HOST}/runtime.py",
        "            if self._has_ended(attempt):\n",
        "            if recorded_exit(attempt) is not None:\n",
        _EXITS,
        "immune",
    ),
    Change(
        "the kill by the mark in the environment",
        f"{_HOST}/runtime.py",
        "        await self._kill_what_is_left(attempt, supervisor)\n        if supervisor.fenced:\n",
        "        if supervisor.fenced:\n",
        _HOSTILE,
        "kills_its_supervisor",
    ),
)

_EXIT_RULES = (
    Change(
        "the boot rule for an exit on the host",
        f"{_HOST}/exits.py",
        "if not synced and not _of_this_boot(attempt):",
        "if False:",
        _EXITS,
        "own_boot",
    ),
    Change(
        "the size of what an exit tells of",
        f"{_HOST}/exits.py",
        "if returned is not None and exit_.size is not None and _size(returned) not in (exit_.size, None):",
        "if False:",
        _EXITS,
        "another_size",
    ),
    Change(
        "the reason why output was not written",
        f"{_INSIDE}/log_writer.py",
        "        except OSError as error:  # a full disk must not stop the program; the exit reports it\n"
        "            self.unwritten = error.errno or 0\n",
        "        except OSError:\n            self.cut = True\n",
        _EXITS,
        "place_of_its_log",
    ),
    no_follow(
        "a program's log",
        f"{_INSIDE}/log_writer.py",
        "os.O_NOFOLLOW | os.O_NONBLOCK",
        _EXITS,
        "place_of_its_log and elsewhere",
    ),
    Change(
        "O_NONBLOCK of a program's log",
        f"{_INSIDE}/log_writer.py",
        "os.O_NOFOLLOW | os.O_NONBLOCK",
        "os.O_NOFOLLOW",
        _EXITS,
        "place_of_its_log",
    ),
    Change(
        "the failure of a result that the disk refuses",
        f"{_INSIDE}/program.py",
        'result.write("error", results.failure("RESULT_NOT_WRITTEN", detail))',
        "raise",
        _RUNTIME,
        "refuses",
    ),
)

_DURABLE_ENDS = (
    without(
        "the memory of ends that no engine has taken",
        f"{_INSIDE}/supervisor.py",
        "            self.ends.remember(folder, name)\n",
        _ENDS,
        "no_engine_takes",
    ),
    Change(
        "the sync of ends before the supervisor goes",
        f"{_INSIDE}/supervisor.py",
        "        self._folders.remove()\n        self.ends.finish()\n",
        "        self._folders.remove()\n",
        _ENDS,
        "has_gone",
    ),
    Change(
        "the reset of a connection with an unread reply",
        f"{_INSIDE}/connection.py",
        "except ConnectionResetError:",
        "except ZeroDivisionError:",
        _ENDS,
        "unread_reply",
    ),
    passed(
        "fsync of what an end tells of",
        f"{_INSIDE}/durable_ends.py",
        "            _sync_file(fd, part)\n",
        _ENDS,
        "everything",
    ),
    Change(
        "no durable name after a failed fsync",
        f"{_INSIDE}/durable_ends.py",
        "raise _NotSynced from error",
        "pass",
        _ENDS,
        "can_t_be_synced",
    ),
    Change(
        "the thread that syncs ends",
        f"{_INSIDE}/durable_ends.py",
        "                _thread.start_new_thread(self._work, ())\n",
        "                self._work()\n",
        _ENDS,
        "slow",
    ),
    no_follow(
        "an attempt's folder whose end is synced",
        f"{_INSIDE}/durable_ends.py",
        "os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW",
        _ENDS,
        "replaced",
    ),
    without(
        "the word to a spawned supervisor that its end is published",
        f"{_HOST}/runtime.py",
        "        if supervised is not None:\n            supervised.close()\n",
        _ENDS,
        "spawned_supervisor_goes",
    ),
)

_CONFINEMENT = (
    Change(
        "the cover of the spool",
        f"{_INSIDE}/mounts.py",
        "    covers: list[str] = []\n",
        "    covers: list[str] = []\n    return True\n",
        _ISOLATION,
        "hostile",
    ),
    Change(
        "the cover that can't be written",
        f"{_INSIDE}/mounts.py",
        "        if source == EMPTY and target in covers and mode == READ_ONLY:\n",
        "        if False:\n",
        _ISOLATION,
        "hostile",
    ),
    Change(
        "the input that can't be written",
        f"{_INSIDE}/mounts.py",
        "    if mode == READ_ONLY:\n",
        "    if False:\n",
        _ISOLATION,
        "write_it",
    ),
    Change(
        "the cover of the other places of the spool",
        f"{_HOST}/mount_table.py",
        "    for place in _other_places(spool, own, mounts):\n",
        "    for place in ():\n",
        _ISOLATION,
        "another_place",
    ),
    passed(
        "the cover of the disk that the spool lies on",
        f"{_HOST}/mount_table.py",
        "            yield os.devnull, device, READ_WRITE\n",
        _ISOLATION,
        "disk",
    ),
    Change(
        "/sys and /proc/sys that can't be written",
        f"{_HOST}/mount_table.py",
        "        for place in _TUNABLES:\n",
        "        for place in ():\n",
        _ISOLATION,
        "hostile",
    ),
    Change(
        "the working folder that is entered again",
        f"{_INSIDE}/program.py",
        "    if rows:\n        os.chdir(workdir)\n",
        "",
        _ISOLATION,
        "hostile",
    ),
    Change(
        "the end of a program that has removed its own folder before the engine was killed",
        "plugins/treadle_python/leftovers.py",
        "            await asyncio.to_thread(kill_marked, mark(attempt))\n",
        "            pass\n",
        "tests/acceptance/test_hostile_folders.py",
        "next_engine",
    ),
    passed(
        "the capabilities that a program gives up",
        f"{_INSIDE}/containment.py",
        "    privileges.drop()\n",
        _ISOLATION,
        "hostile",
    ),
    Change(
        "the bounds of what a program can gain",
        f"{_INSIDE}/privileges.py",
        "        _prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)",
        "        pass",
        _ISOLATION,
        "hostile",
    ),
    Change(
        "the supervisor that its programs can't read",
        f"{_INSIDE}/privileges.py",
        "    _prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)\n\n\ndef drop",
        "\n\ndef drop",
        f"{_ISOLATION} {_TESTS}/forking/test_ordinary_user.py",
        "hostile",
    ),
    Change(
        "the PID namespace of a peer",
        f"{_INSIDE}/peer.py",
        " and pid > 0 and len(_pids(connection, pid)) == 1",
        "",
        f"{_TESTS}/forking/test_peers.py",
    ),
    Change(
        "signals from inside that are ignored",
        f"{_INSIDE}/signalfd.py",
        "        self._from_outside_only = os.getpid() == 1\n",
        "        self._from_outside_only = False\n",
        _SIGNALS,
    ),
    Change(
        "a flood of signals that is obeyed",
        f"{_INSIDE}/signalfd.py",
        "        return self._ignored > _MAX_IGNORED\n",
        "        return False\n",
        _SIGNALS,
    ),
)

_HANDOVER = (
    Change(
        "the size of a result that is reported",
        f"{_INSIDE}/result_file.py",
        " and status.st_size == int(digits)",
        "",
        _RESULTS,
    ),
    without(
        "a result of the program's own process only",
        f"{_INSIDE}/result_file.py",
        "        if posix.getpid() != self._pid:\n            return\n",
        _RESULTS,
        "forked",
    ),
    Change(
        "the descriptors that a program has closed",
        f"{_INSIDE}/result_file.py",
        "        if any(_identity(fd) != expected for fd, expected in self._opened):\n",
        "        if False:\n",
        _RESULTS,
        "closes",
    ),
    without(
        "a report that is not waited for",
        f"{_INSIDE}/child.py",
        "        os.set_blocking(channel, False)\n",
        _RESULTS,
        "holds",
    ),
    without(
        "an output pipe that is not waited for",
        f"{_INSIDE}/log_writer.py",
        "        os.set_blocking(self.pipe, False)\n",
        _RESULTS,
        "holds",
    ),
    without(
        "a link in the place of the working folder",
        f"{_INSIDE}/folders.py",
        "    if not stat.S_ISDIR(os.lstat(path).st_mode):\n        os.unlink(path)\n        return\n",
        f"{_TESTS}/test_folders.py",
        "link",
    ),
)

CHANGES = (*_IDENTITIES, *_EXIT_RULES, *_DURABLE_ENDS, *_CONFINEMENT, *_HANDOVER)
