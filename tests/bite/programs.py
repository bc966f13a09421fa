"""What has a program on the host do what it does at home: its end, its values, what it leaves and tells."""

from __future__ import annotations

from tests.bite.change import Change, passed, without

_HOST = "plugins/treadle_python"
_INSIDE = f"{_HOST}/treadle_inside"
_HOME = "tests/acceptance/test_programs_at_home.py"
_COMPARED = "tests/acceptance/test_programs_compared.py"
_PRELOAD = "tests/acceptance/test_preload.py"
_TMP = "tests/acceptance/test_private_tmp.py"
_RESULTS = "tests/unit/plugins/test_results.py"
_MARKERS = "tests/unit/plugins/test_markers.py"

_ENDS = (
    without("the flush of C's streams", f"{_INSIDE}/ending.py", "    _fflush(None)\n", _COMPARED, "printf"),
    Change(
        "the real end where something has a finaliser",
        f"{_INSIDE}/ending.py",
        "return self.leaves_objects() or self.leaves_libraries()",
        "return self.leaves_libraries()",
        _COMPARED,
        "finaliser",
    ),
    Change(
        "the real end where a library was loaded",
        f"{_INSIDE}/ending.py",
        "return self.leaves_objects() or self.leaves_libraries()",
        "return self.leaves_objects()",
        _COMPARED,
        "fork and (library or extension)",
    ),
    without(
        "the objects of before, which are to be finalised as well",
        f"{_INSIDE}/ending.py",
        "        gc.unfreeze()  # what is frozen is never finalised\n",
        _PRELOAD,
        "preloaded and finaliser",
    ),
    Change(
        "the real end of what was preloaded",
        f"{_INSIDE}/fork_server.py",
        "to_the_end=self._preloaded.to_the_end",
        "to_the_end=False",
        _PRELOAD,
        "preloaded and finaliser",
    ),
    Change(
        "the flush of what was preloaded",
        f"{_INSIDE}/preloading.py",
        "        beginning.flush_files()\n",
        "",
        _PRELOAD,
        "preloaded",
    ),
    Change(
        "the descriptors of what was preloaded",
        f"{_INSIDE}/program.py",
        "() if preloaded is None else preloaded.descriptors",
        "()",
        _PRELOAD,
        "preloaded",
    ),
    Change(
        "the place of its own in a file that was preloaded",
        f"{_INSIDE}/preloading.py",
        "            self._reading.append(fd)\n",
        "            pass\n",
        _PRELOAD,
        "preloaded and reading",
    ),
    Change(
        "the refusal to share a database",
        f"{_INSIDE}/preloading.py",
        "if not stat.S_ISREG(kind) or access == os.O_RDWR:",
        "if not stat.S_ISREG(kind):",
        _PRELOAD,
        "preloaded and database",
    ),
    without(
        "new seeds of what was preloaded",
        f"{_INSIDE}/preloading.py",
        "        self._seeds.renew()\n",
        _PRELOAD,
        "seeded",
    ),
    Change(
        "the seed that somebody gave",
        f"{_INSIDE}/system_seeds.py",
        "isinstance(entropy, int) and entropy in self._bits",
        "isinstance(entropy, int)",
        _PRELOAD,
        "seeded",
    ),
    Change(
        "the end of preloaded libraries",
        f"{_INSIDE}/ending.py",
        "    if libraries:\n        _exit(code)\n",
        "",
        _PRELOAD,
        "library",
    ),
    Change(
        "what a preloaded module has printed",
        f"{_INSIDE}/program.py",
        "        preloaded.printed.print()\n",
        "        pass\n",
        _PRELOAD,
        "prints",
    ),
    Change(
        "the streams that a preloaded module keeps",
        f"{_INSIDE}/supervisor.py",
        "        self._score = OomScore()\n",
        "        self._score = OomScore()\n        program.streams.open_streams()\n",
        _PRELOAD,
        "prints or stream",
    ),
    Change(
        "the refusal of a module that changes what the server needs",
        f"{_INSIDE}/preloading.py",
        "            if function is not functions[name]:\n",
        "            if False:\n",
        _PRELOAD,
        "changes",
    ),
    Change(
        "the refusal of shared memory",
        f"{_INSIDE}/preloading.py",
        "        if _shared_mappings() - shared:\n",
        "        if False:\n",
        _PRELOAD,
        "would_share",
    ),
    Change(
        "the trial of what each program renews",
        f"{_INSIDE}/preloading.py",
        "        self._try_to_renew()\n",
        "",
        _PRELOAD,
        "would_share",
    ),
    Change(
        "a report that nobody else can hold back",
        f"{_HOST}/fork_server_process.py",
        "    os.set_blocking(process.stdout.fileno(), False)",
        "    pass",
        _PRELOAD,
        "delays",
    ),
    Change(
        "the names that a project has as well",
        f"{_INSIDE}/names.py",
        "            del sys.modules[name]\n",
        "            pass\n",
        _HOME,
        "modules",
    ),
)

_FAILURES = (
    Change(
        "any exception as a failure",
        f"{_INSIDE}/program.py",
        "    except BaseException as error:  # noqa: BLE001  # any exception of the program is its failure\n",
        "    except Exception as error:\n",
        _HOME,
        "raises",
    ),
    Change(
        "an exception that can't tell its text",
        f"{_INSIDE}/uncaught.py",
        "    except BaseException:  # noqa: BLE001  # its __str__ is the program's\n",
        "    except ZeroDivisionError:\n",
        _HOME,
        "without",
    ),
    Change(
        "the program's own hook",
        f"{_INSIDE}/uncaught.py",
        "        sys.excepthook(type(error), error, error.__traceback__)\n",
        "        sys.__excepthook__(type(error), error, error.__traceback__)\n",
        _HOME,
        "hook",
    ),
    Change(
        "the traceback without Treadle's own lines",
        f"{_INSIDE}/uncaught.py",
        "    error.__traceback__ = _of_program(error.__traceback__)\n",
        "",
        _HOME,
        "raises",
    ),
)

_VALUES = (
    Change(
        "the copy of json that nobody patches",
        f"{_INSIDE}/own_json.py",
        "_copy_of(json.encoder).JSONEncoder",
        "json.encoder.JSONEncoder",
        _RESULTS,
    ),
    Change(
        "no empty object",
        f"{_INSIDE}/forms.py",
        'return any(not name.startswith("_") for name in fields) and not',
        "return not",
        _RESULTS,
    ),
    Change(
        "null for what pandas has not",
        f"{_INSIDE}/forms.py",
        'return None if kind.__name__ in ("NaTType", "NAType")',
        'return None if kind.__name__ in ("NaTType",)',
        _RESULTS,
    ),
    Change(
        "no object that holds more than its fields",
        f"{_INSIDE}/forms.py",
        " and not _holds_more(type(value))\n",
        "\n",
        _RESULTS,
    ),
    Change(
        "twins in what to_json() returned",
        f"{_INSIDE}/own_json.py",
        "    if len(found) != len(pairs):\n",
        "    if False:\n",
        _RESULTS,
    ),
    Change(
        "two keys that are one",
        f"{_INSIDE}/results.py",
        "                if written in names:\n",
        "                if False:\n",
        _RESULTS,
    ),
    Change(
        "the note that a text stands for a value",
        f"{_HOST}/exits.py",
        'return (AS_TEXT,) if word == "text" else ()',
        "return ()",
        _HOME,
        "text",
    ),
)

_PLACES = (
    Change(
        "the private /tmp",
        f"{_HOST}/mount_table.py",
        "return (TMP, tmp, READ_WRITE), (EMPTY, memory, READ_WRITE)",
        "return ((EMPTY, memory, READ_WRITE),)",
        _TMP,
    ),
    Change(
        "the private /dev/shm",
        f"{_HOST}/mount_table.py",
        "return (TMP, tmp, READ_WRITE), (EMPTY, memory, READ_WRITE)",
        "return ((TMP, tmp, READ_WRITE),)",
        _TMP,
        "seen_by_no_other",
    ),
    Change(
        "System V's shared memory of a program's own",
        f"{_INSIDE}/mounts.py",
        '            _enter_namespace("ipc")\n',
        "            pass\n",
        _TMP,
        "seen_by_no_other",
    ),
    without(
        "the emptying of a program's /tmp",
        f"{_INSIDE}/folders.py",
        "        self.tmp.clear()\n",
        _TMP,
        "seen_by_no_other",
    ),
    Change(
        "the interpreter below /tmp",
        f"{_HOST}/given_paths.py",
        "            yield _environment(str(command.python)), READ_ONLY, READ_WRITE\n",
        "",
        _TMP,
        "below_tmp",
    ),
    Change(
        "the executable below /tmp",
        f"{_HOST}/given_paths.py",
        '        yield _home(command.argv[0], command.environment.get("PATH")), None, READ_WRITE\n',
        "",
        _TMP,
        "executable",
    ),
    Change(
        "a spool that is covered after what is given from /tmp",
        f"{_HOST}/mount_table.py",
        "*self._given.elsewhere(given, own), *hidden, *inside)",
        "*hidden, *self._given.elsewhere(given, own), *inside)",
        _TMP,
        "stays_hidden",
    ),
    Change(
        "the name of a link",
        f"{_HOST}/given_paths.py",
        "names = (real,) if real == path else (real, path)",
        "names = (real,)",
        _TMP,
        "links",
    ),
    Change(
        "the short name of a temporary folder without mounts",
        f"{_INSIDE}/folders.py",
        "        if len(self.path) <= _LONGEST:\n",
        "        if self.path:\n",
        _TMP,
        "sockets",
    ),
    Change(
        "the wait for resource trackers",
        f"{_INSIDE}/program.py",
        "    atexit.register(wait_for_trackers, os.getpid())  # as the first one it runs last\n",
        "",
        _TMP,
        "tracker",
    ),
    Change(
        "the working folder in the project",
        f"{_INSIDE}/program.py",
        '        os.chdir(request["workdir"])\n    sys.path.insert(0, request["project"])\n',
        '        pass\n    sys.path.insert(0, request["project"])\n',
        _HOME,
        "works_there",
    ),
    Change(
        "the working folder of a failed attempt",
        f"{_INSIDE}/supervisor.py",
        '            if failed and fields.get("keep_work"):\n',
        "            if False:\n",
        _HOME,
        "working_folder",
    ),
)

_TOLD = (
    Change(
        "the CPU time of an attempt",
        f"{_INSIDE}/usage.py",
        "            self._seconds += used.ru_utime + used.ru_stime\n",
        "",
        _HOME,
        "used",
    ),
    Change(
        "a marker behind a byte order mark",
        "plugins/treadle_markers/markers.py",
        r'rb"(?:\xef\xbb\xbf|\x1b\[',
        r'rb"(?:\x1b\[',
        _MARKERS,
    ),
    passed(
        "a marker behind a carriage return",
        "plugins/treadle_markers/markers.py",
        '        return "a carriage return, as of a progress bar, stands"\n',
        _MARKERS,
    ),
)

CHANGES = (*_ENDS, *_FAILURES, *_VALUES, *_PLACES, *_TOLD)
