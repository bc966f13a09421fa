"""What keeps the promise in the spool: fsyncs, links in place of renames, and files that are not followed."""

from __future__ import annotations

from tests.bite.change import Change, no_follow, passed, without

_SPOOL = "spool/treadle_spool"
_TESTS = "tests/unit/spool"
_MATRIX = "tests/crash/test_crash_matrix.py"
_RETURNED = "what_has_returned"
_HOSTILE = "tests/acceptance/test_hostile_folders.py"
_FAILING = "tests/unit/dispatch/test_failing_runs.py"

_FSYNCS = (
    passed(
        "fsync of an accepted job's file",
        f"{_SPOOL}/accept.py",
        "                files.sync()\n",
        _MATRIX,
        _RETURNED,
    ),
    Change(
        "fsync of a file that is written at once",
        f"{_SPOOL}/durable.py",
        "            write_all(fd, content)\n            os.fsync(fd)\n",
        "            write_all(fd, content)\n",
        f"{_TESTS}/test_durable.py",
    ),
    Change(
        "fsync of queue/ in accept",
        f"{_SPOOL}/accept.py",
        "                self._sync()\n        except",
        "                pass\n        except",
        _MATRIX,
        _RETURNED,
    ),
    Change(
        "fsync of queue/ at the start",
        f"{_SPOOL}/owner.py",
        '        """\n        durable.sync_folder(self.spool.queue)\n',
        '        """\n',
        f"{_TESTS}/test_spool.py",
    ),
    without(
        "fsync of cancel/",
        f"{_SPOOL}/spool.py",
        "            durable.sync_folder(self.cancel)\n",
        f"{_TESTS}/test_spool.py",
    ),
    without(
        "fsync of run/<job> for a next attempt",
        f"{_SPOOL}/owner.py",
        '        durable.sync_folder(f"{self._run}/{name}")\n',
        f"{_TESTS}/test_attempts.py",
        "next_attempt",
    ),
    Change(
        "fsync of run/ for a lasting attempt",
        f"{_SPOOL}/owner.py",
        '        make_durable(f"{self._run}/{name}")\n        self._sync_run()\n',
        '        make_durable(f"{self._run}/{name}")\n',
        f"{_TESTS}/test_attempts.py",
        "before_their_folder",
    ),
    without(
        "fsync of a lasting attempt's folder",
        f"{_SPOOL}/attempts.py",
        "    durable.sync_folder(folder)\n",
        f"{_TESTS}/test_attempts.py",
        "before_their_folder",
    ),
    Change(
        "fsync of run/<job> before the rename to done/",
        f"{_SPOOL}/publication.py",
        "            os.fsync(fd)\n        finally:\n            os.close(fd)\n\n    def _clear",
        "            pass\n        finally:\n            os.close(fd)\n\n    def _clear",
        f"{_TESTS}/test_spool.py",
    ),
    without(
        "fsync of a fresh folder before the rename to done/",
        f"{_SPOOL}/publication.py",
        "                os.fsync(fd)\n",
        f"{_TESTS}/test_spool.py",
        "fresh_folder",
    ),
    without(
        "fsync of an outcome's files",
        f"{_SPOOL}/folder.py",
        "        files.sync()\n",
        _MATRIX,
        _RETURNED,
    ),
    passed(
        "fsync of done/ after the rename",
        f"{_SPOOL}/owner.py",
        "            self._sync_done()\n",
        _MATRIX,
        _RETURNED,
    ),
    Change(
        "fsync of done/ before an outcome is told",
        f"{_SPOOL}/spool.py",
        "            durable.sync_folder(self.done)\n        return status",
        "            pass\n        return status",
        f"{_TESTS}/test_spool.py",
    ),
    Change(
        "fsync of bad/ before a file leaves its place",
        f"{_SPOOL}/quarantine.py",
        "            self._write_reasons(refusals, targets)\n            durable.sync_folder(self._folder)\n",
        "            self._write_reasons(refusals, targets)\n",
        f"{_TESTS}/test_drop.py",
    ),
    without(
        "fsync of a new spool's folder",
        f"{_SPOOL}/identity.py",
        "    durable.sync_folder(root)\n",
        _MATRIX,
        "keeps_its_id",
    ),
    without(
        "fsync of a raised format's name",
        f"{_SPOOL}/identity.py",
        "    durable.sync_folder(path.parent)\n",
        f"{_TESTS}/test_versions.py",
        "raised_format",
    ),
)

_LINKS = (
    Change(
        "link, not rename, into queue/",
        f"{_SPOOL}/accept.py",
        "os.link(draft.path, queued)",
        "os.rename(draft.path, queued)",
        f"{_TESTS}/test_spool.py",
    ),
    Change(
        "link, not rename, from queue/ in claim",
        f"{_SPOOL}/owner.py",
        'os.link(f"{self._queue}/{name}.json", f"{folder}/{JOB}")',
        'os.rename(f"{self._queue}/{name}.json", f"{folder}/{JOB}")',
        f"{_TESTS}/test_spool.py {_MATRIX}",
        "claim",
    ),
    Change(
        "link, not rename, of a result that a program wrote",
        f"{_SPOOL}/durable.py",
        "os.link(content, path, dst_dir_fd=dir_fd, follow_symlinks=False)",
        "os.rename(content, path, dst_dir_fd=dir_fd)",
        f"{_TESTS}/test_spool.py",
    ),
    Change(
        "link, not rename, of a new spool's identity",
        f"{_SPOOL}/identity.py",
        "os.link(staged, root / IDENTITY)\n    staged.unlink()",
        "os.rename(staged, root / IDENTITY)",
        f"{_TESTS}/test_spool.py",
        "of_two",
    ),
)

_VERSIONS = (
    without(
        "the raise of an older format",
        f"{_SPOOL}/owner.py",
        "        raise_format(self.spool.root, self.spool.new_in_tmp())\n",
        f"{_TESTS}/test_versions.py",
        "raises",
    ),
    Change(
        "unknown fields in queue/",
        f"{_SPOOL}/descriptor.py",
        "class Stored(Descriptor, frozen=True, forbid_unknown_fields=False, kw_only=True)",
        "class Stored(Descriptor, frozen=True, forbid_unknown_fields=True, kw_only=True)",
        f"{_TESTS}/test_versions.py",
        "newer_version",
    ),
    Change(
        "unknown fields of an attempt's record that is rewritten",
        f"{_SPOOL}/owner.py",
        "self.spool.stage(live.replacing(present))",
        "self.spool.stage(live.to_json())",
        f"{_TESTS}/test_versions.py",
        "survives",
    ),
)

_UNTRUSTED = (
    passed(
        "the engine's lock",
        f"{_SPOOL}/lock.py",
        "            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        f"{_TESTS}/test_lock.py",
    ),
    no_follow(
        "the engine's lock",
        f"{_SPOOL}/lock.py",
        "os.O_CLOEXEC | os.O_NOFOLLOW, 0o644",
        f"{_TESTS}/test_lock.py",
    ),
    no_follow(
        "a dropped file",
        f"{_SPOOL}/dropped.py",
        "os.O_RDONLY | os.O_NOFOLLOW",
        f"{_TESTS}/test_drop.py",
    ),
    no_follow(
        "a file of a job's folder",
        f"{_SPOOL}/untrusted.py",
        "os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK",
        f"{_TESTS}/test_durable.py",
    ),
    Change(
        "O_NONBLOCK of a file of a job's folder",
        f"{_SPOOL}/untrusted.py",
        "O_NOFOLLOW | os.O_NONBLOCK",
        "O_NOFOLLOW",
        f"{_TESTS}/test_untrusted.py",
        "regular",
    ),
    no_follow(
        "a job's folder",
        f"{_SPOOL}/untrusted.py",
        "os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW",
        f"{_TESTS}/test_untrusted.py",
        "link",
    ),
    Change(
        "the refusal of a second hard link",
        f"{_SPOOL}/untrusted.py",
        "(alone or flags & _WRITES)",
        "False",
        f"{_TESTS}/test_untrusted.py",
        "another_name",
    ),
    Change(
        "the fresh folder for an outcome",
        f"{_SPOOL}/publication.py",
        "return self._publish_anew(folder, status.id, contents) if is_misplaced(error) else error",
        "return error",
        _FAILING,
        "gone",
    ),
    passed(
        "the removal of a result of a program's own",
        f"{_SPOOL}/publication.py",
        "                    os.unlink(RESULT, dir_fd=fd)\n",
        _HOSTILE,
        "cancelled",
    ),
)

CHANGES = (*_FSYNCS, *_LINKS, *_VERSIONS, *_UNTRUSTED)
