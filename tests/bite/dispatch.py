"""What keeps the promise in the engine: counted attempts, recovery, inputs, and the boot of the host."""

from __future__ import annotations

from tests.bite.change import Change, no_follow, passed, without

_ENGINE = "engine/treadle"
_DISPATCH = f"{_ENGINE}/dispatch"
_TESTS = "tests/unit/dispatch"
_INPUTS = "tests/unit/interface/test_inputs.py"
_BOOT = "tests/unit/spool/test_boot.py"
_POOLS = "tests/acceptance/test_data_pools.py"

CHANGES = (
    passed(
        "the record of a lasting attempt that is made durable",
        f"{_DISPATCH}/attempt_sync.py",
        "        self._task = asyncio.create_task(self._sync())\n",
        f"{_TESTS}/test_attempt_sync.py",
        "lasts",
    ),
    without(
        "the wait for an attempt's start before its record is made durable",
        f"{_DISPATCH}/attempt_sync.py",
        "        await self._started.wait()\n",
        f"{_TESTS}/test_attempt_sync.py",
        "being_started",
    ),
    without(
        "the descriptor in queue/ in place of a damaged one",
        f"{_DISPATCH}/recovery.py",
        "        owner.restore_descriptor(name)\n",
        f"{_TESTS}/test_recovery.py",
        "taken_from_the_queue",
    ),
    Change(
        "the time of an attempt with a damaged record",
        f"{_DISPATCH}/recovery.py",
        "    started = min(now(), max(job.created, changed))\n",
        "    started = job.created\n",
        f"{_TESTS}/test_recovery.py",
        "not_that_of_its_job",
    ),
    without(
        "the mending of run/<job> at the start",
        f"{_DISPATCH}/recovery.py",
        "    if not owner.mend(name):\n        return None\n",
        f"{_TESTS}/test_recovery.py",
        "what_is_left",
    ),
    Change(
        "the code of a job whose folder is gone",
        f"{_DISPATCH}/job_run.py",
        "if exit_.reason in _BY_ITSELF and not is_folder(attempt.folder):",
        "if False:",
        f"{_TESTS}/test_failing_runs.py",
        "gone",
    ),
    Change(
        "the end of a job whose run fails",
        f"{_DISPATCH}/job_run.py",
        '        except Exception as error:\n            log.exception("the run of job %s failed"',
        '        except ZeroDivisionError as error:\n            log.exception("the run of job %s failed"',
        f"{_TESTS}/test_failing_runs.py",
        "bug_of_ours",
    ),
    Change(
        "the PID namespace in the boot",
        "spool/treadle_spool/boot.py",
        "return boot_id + _namespace()",
        "return boot_id",
        _BOOT,
        "a_pid_namespace",
    ),
    Change(
        "the start of the PID namespace in the boot",
        "spool/treadle_spool/boot.py",
        'return f"/{inode}-{start}"',
        'return f"/{inode}"',
        _BOOT,
        "began_at_another_time",
    ),
    Change(
        "the comparison of a program's input",
        f"{_ENGINE}/interface/inputs.py",
        "        return file.read(len(content) + 1) == content\n",
        "        return True\n",
        _INPUTS,
        "torn",
    ),
    no_follow(
        "the folder of a program's input",
        f"{_ENGINE}/interface/inputs.py",
        "os.open(INPUT, FOLDER_FLAGS",
        _INPUTS,
        "the_folder",
    ),
    no_follow(
        "an attempt's folder in which a file is replaced",
        f"{_ENGINE}/support/replacing.py",
        "os.open(path, FOLDER_FLAGS",
        "tests/unit/support/test_replacing.py",
        "place_of_the_folder",
    ),
    Change(
        "the move of a folder that has a file's name",
        f"{_ENGINE}/support/replacing.py",
        "            move_aside(folder, name, drafts)\n",
        "            raise\n",
        _INPUTS,
        "full_folder or any_depth",
    ),
    no_follow(
        "a data pool",
        f"{_ENGINE}/intake/posted.py",
        "os.open(folder, FOLDER_FLAGS",
        _POOLS,
    ),
    no_follow(
        "a data pool's file",
        f"{_ENGINE}/intake/posted.py",
        "os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK",
        _POOLS,
    ),
)
