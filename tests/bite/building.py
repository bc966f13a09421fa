"""What keeps the promise of `treadle build`: no half-made environment, none of the user's own touched."""

from __future__ import annotations

from tests.bite.change import Change, without

_PYTHON = "plugins/treadle_python"
_BUILDING = f"{_PYTHON}/building"
_STORE = "tests/unit/plugins/building/test_store.py"
_BUILD = "tests/acceptance/test_build.py"
_UNDER_JOBS = "tests/acceptance/test_builds_under_jobs.py"

CHANGES = (
    Change(
        "the record of a complete environment",
        f"{_BUILDING}/store.py",
        "        made = self._record(digest)\n",
        '        made = self._record(digest) or Made("", "", "")\n',
        _STORE,
        "half_made",
    ),
    Change(
        "the interpreter of a complete environment",
        f"{_BUILDING}/store.py",
        'return made if os.access(self.path(digest) / "bin" / "python", os.X_OK) else None',
        "return made",
        _STORE,
        "python_is_gone",
    ),
    Change(
        "the environments of other hosts",
        f"{_BUILDING}/store.py",
        "            if _DIGEST.fullmatch(path.name) and self._record(path.name) is None",
        "            if _DIGEST.fullmatch(path.name) and self.record(path.name) is None",
        _STORE,
        "python_is_gone",
    ),
    Change(
        "the environment in use that lacks its record",
        f"{_BUILDING}/store.py",
        " and path != current:\n",
        ":\n",
        _STORE,
        "link_leads_to",
    ),
    Change(
        "the environments that a process uses",
        f"{_BUILDING}/store.py",
        "        for digest in earlier - used:\n",
        "        for digest in earlier:\n",
        _STORE,
        "pruned",
    ),
    Change(
        "a .venv of the user's own, which appears during a build",
        f"{_BUILDING}/store.py",
        '        """Replace the link at once; raise StartError if there is a `.venv` that is not ours."""\n'
        "        if self.is_foreign():\n",
        "        if False:\n",
        _STORE,
        "own_is_never_replaced",
    ),
    Change(
        "a .venv of the user's own",
        f"{_BUILDING}/builder.py",
        "    if not store.is_foreign():\n        return None\n",
        "    return None\n",
        _BUILD,
        "own_is_used",
    ),
    Change(
        "the project's path in the digest of an environment",
        f"{_BUILDING}/builder.py",
        "digest_of(files, _LAYOUT, kind, asked, str(project))",
        "digest_of(files, _LAYOUT, kind, asked)",
        _BUILD,
        "is_copied",
    ),
    Change(
        "the removal of an environment whose packages can't be installed",
        f"{_BUILDING}/builder.py",
        "        except StartError as error:\n            self._store.remove(digest)\n",
        "        except StartError as error:\n",
        _BUILD,
        "one_line_with_the_tool",
    ),
    Change(
        "the removal of an environment whose build is interrupted",
        f"{_BUILDING}/builder.py",
        "        except BaseException:\n            self._store.remove(digest)\n",
        "        except BaseException:\n",
        _UNDER_JOBS,
        "is_interrupted",
    ),
    Change(
        "the lock of a build that its tools inherit",
        f"{_BUILDING}/tools.py",
        "() if lock is None else (lock,)",
        "()",
        _UNDER_JOBS,
        "killed_build",
    ),
    Change(
        "the end of what an interrupted build has started",
        f"{_BUILDING}/tools.py",
        "            await _end(process)\n",
        "            process.kill()\n",
        _UNDER_JOBS,
        "is_interrupted",
    ),
    Change(
        "the variables that lead a build to another environment",
        f"{_BUILDING}/tools.py",
        " if name not in _NOT_INHERITED}",
        "}",
        _BUILD,
        "set_for_other_environments",
    ),
    Change(
        "a build that asks no package index",
        f"{_BUILDING}/installers.py",
        '(*links, *(("--no-index",) if self.offline else ()))',
        "links",
        _BUILD,
        "no_package_index",
    ),
    Change(
        "the environment that an attempt begins with",
        f"{_PYTHON}/environment.py",
        "    if python is None:\n        return made\n    text",
        "    if python is None:\n        return service.path / LINK\n    text",
        f"{_UNDER_JOBS} {_STORE}",
        "keeps_its_environment or not_the_link",
    ),
    Change(
        "the fork server of the environment before",
        f"{_PYTHON}/server_specs.py",
        "made[0] is service and made[1].python == python:",
        "made[0] is service:",
        _UNDER_JOBS,
        "keeps_its_environment and fork",
    ),
    Change(
        "the version of Python that a service asks for",
        f"{_PYTHON}/environment.py",
        "        if service.python_version is not None:\n",
        "        if False:\n",
        _STORE,
        "version_that_is_asked_for",
    ),
    Change(
        "the word that an environment is outdated",
        f"{_BUILDING}/state.py",
        "        if made.requirements == requirements_digest(service.path, requirements, request):\n",
        "        if True:\n",
        _UNDER_JOBS,
        "who_runs_a_service",
    ),
    without(
        "the remedy for a module that is not installed",
        f"{_PYTHON}/treadle_inside/uncaught.py",
        "    if isinstance(error, ModuleNotFoundError):\n        text += _how_to_install(error, project)\n",
        _UNDER_JOBS,
        "served_already",
    ),
    Change(
        "the line that names the cause of a failed build",
        f"{_BUILDING}/tool_faults.py",
        "told = told if cause in told or _NOISE.match(cause) else [cause, *told]",
        "_ = cause",
        "tests/unit/plugins/building/test_tool_faults.py",
    ),
)
