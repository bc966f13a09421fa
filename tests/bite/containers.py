"""What keeps the promise in containers: the boot rule, one start, one removal, and logs that are whole."""

from __future__ import annotations

from tests.bite.change import Change, passed

_CONTAINERS = "plugins/treadle_containers"
_TESTS = "tests/unit/plugins"
_RECORDS = f"{_TESTS}/containers/test_container_records.py"
_PARTS = f"{_TESTS}/test_container_parts.py"

_BOOT_RULE = 'return self.boot != "" and not is_this_boot(self.boot)'

CHANGES = (
    Change(
        "the boot of a container's record",
        f"{_CONTAINERS}/record.py",
        _BOOT_RULE,
        "return False",
        _RECORDS,
        "another_boot",
    ),
    Change(
        "the boot of a container's record, over a power cut",
        f"{_CONTAINERS}/record.py",
        _BOOT_RULE,
        "return False",
        "tests/crash/test_container_ends.py",
        "nobody_saw and sync_everything",
    ),
    Change(
        "a started container that no record names",
        f"{_CONTAINERS}/creation.py",
        "        if found.started:\n",
        "        if found.id is None:\n",
        _RECORDS,
        "never_started_again",
    ),
    Change(
        "the owner of a container's name",
        f"{_CONTAINERS}/creation.py",
        "        if found.labels.get(spec.SPOOL) != attempt.spool_id:\n",
        "        if False:\n",
        _RECORDS,
        "somebody_else",
    ),
    Change(
        "the name of a container whose record is damaged",
        f"{_CONTAINERS}/record.py",
        "            return msgspec.structs.replace(record, name=container_name(attempt))\n",
        "            return record\n",
        _RECORDS,
        "without_its_record",
    ),
    Change(
        "the pattern of a container's id",
        f"{_CONTAINERS}/record.py",
        r'Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9_.-]*\Z")]',
        "Annotated[str, Meta()]",
        _RECORDS,
        "strange_id",
    ),
    Change(
        "the search for a container without a record",
        f"{_CONTAINERS}/runtime.py",
        "Record(name=await self._unrecorded(attempt))",
        "Record()",
        _RECORDS,
        "is_stopped",
    ),
    Change(
        "the end of the search for a container without a record",
        f"{_CONTAINERS}/runtime.py",
        "asyncio.timeout(_LOOK_TIMEOUT)",
        "asyncio.timeout(None)",
        _RECORDS,
        "engine_that_is_away",
    ),
    passed(
        "the removal of a container that is given up",
        f"{_CONTAINERS}/runtime.py",
        "            await retry_until_reached(discard)\n",
        _RECORDS,
        "another_boot",
    ),
    Change(
        "a stop that can't be recorded",
        f"{_CONTAINERS}/runtime.py",
        "            fault = error\n",
        "            raise\n",
        _RECORDS,
        "full_disk or folder_is_gone",
    ),
    Change(
        "the loss of a container that refuses its second start",
        f"{_CONTAINERS}/launcher.py",
        "if fresh and not broken_off(error):",
        "if not broken_off(error):",
        f"{_TESTS}/containers/test_container_runtime.py",
        "asked_for_before",
    ),
    Change(
        "the rewind of a log's interrupted copy",
        f"{_CONTAINERS}/log_copy.py",
        "            each.rewind()\n        await self._engine.copy_log(self._container, logs, follow=False)",
        "            each\n        await self._engine.copy_log(self._container, logs, follow=False)",
        _RECORDS,
        "interrupted",
    ),
    Change(
        "the one request for the log of an ended container",
        f"{_CONTAINERS}/log_copy.py",
        "            while waiting:\n",
        "            for _ in logs:\n",
        _RECORDS,
        "copied_once",
    ),
    Change(
        "the untrusted open of a container's log",
        f"{_CONTAINERS}/logs.py",
        "open_untrusted(path, os.O_RDWR | os.O_CREAT)",
        "os.open(path, os.O_RDWR | os.O_CREAT, 0o640)",
        f"{_PARTS} {_RECORDS}",
        "fifo_in_the_place or not_followed",
    ),
    Change(
        "the regular files of a build context",
        f"{_CONTAINERS}/context.py",
        "return stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode)",
        "return True",
        _PARTS,
        "fifo",
    ),
    Change(
        "the volumes of a Podman container",
        "plugins/treadle_podman/calls.py",
        '"v": True, "volumes": True, ',
        '"v": True, ',
        "tests/acceptance/test_strange_images.py",
        "volumes",
    ),
    Change(
        "the volumes of a Docker container",
        "plugins/treadle_docker/engine.py",
        "delete(force=True, v=True)",
        "delete(force=True)",
        "tests/acceptance/test_strange_images.py",
        "volumes and docker",
    ),
)
