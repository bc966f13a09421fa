"""What keeps the promise while services come, go and break: the others run, and no job runs twice."""

from __future__ import annotations

from tests.bite.change import Change, no_follow, without

_ENGINE = "engine/treadle"
_INTAKE = f"{_ENGINE}/intake"
_DISPATCH = f"{_ENGINE}/dispatch"
_READER = "tests/unit/intake/test_project_reader.py"
_RELOADER = "tests/unit/intake/test_reloader.py"
_WAITING = "tests/unit/dispatch/test_waiting_again.py"
_BROKEN = "tests/acceptance/test_broken_services.py"
_RELOAD = "tests/acceptance/test_reload.py"
_SERVICES = "tests/unit/spool/test_services.py"

CHANGES = (
    Change(
        "the second look at a project that is being written",
        f"{_INTAKE}/reloader.py",
        "if seen == self._seen.get(path)]",
        "if seen]",
        _RELOADER,
        "being_written",
    ),
    Change(
        "the second look for a project that is gone",
        f"{_INTAKE}/reloader.py",
        "self._projects.keys() - stamps.keys() - self._seen.keys()",
        "self._projects.keys() - stamps.keys()",
        _RELOADER,
        "replaced",
    ),
    Change(
        "the projects of a folder that can't be listed",
        f"{_INTAKE}/project_reader.py",
        "            found = [path for path in known if path.parent == folder]\n",
        "            found = []\n",
        _READER,
        "can_t_be_listed",
    ),
    Change(
        "the check of all services, each second",
        f"{_INTAKE}/reloader.py",
        "            return self._reader.checked(project)\n",
        "            return project\n",
        _BROKEN,
        "five_are_broken",
    ),
    Change(
        "a project that can't be read for any other reason",
        f"{_INTAKE}/project_reader.py",
        "        except Exception as error:  # noqa: BLE001  # a file may be strange",
        "        except ZeroDivisionError as error:  # a file may be strange",
        _READER,
        "nobody_foresaw",
    ),
    Change(
        "a service that a plugin fails to check",
        f"{_INTAKE}/project_reader.py",
        "        except Exception as error:  # noqa: BLE001  # a plugin's code",
        "        except ZeroDivisionError as error:  # a plugin's code",
        _READER,
        "damaged_project_is_broken",
    ),
    Change(
        "the service that an equal one is",
        f"{_INTAKE}/project_reader.py",
        "            if before and before.served and before.served.service == service:\n",
        "            if before and not service:\n",
        _READER,
        "equal_service",
    ),
    Change(
        "the name that a service has already",
        f"{_INTAKE}/project_reader.py",
        " if holders.get(each.name) == each.path}",
        " if each.name is None}",
        _READER,
        "keeps_it",
    ),
    Change(
        "the answer for a broken service",
        f"{_INTAKE}/catalogue.py",
        "        if known is not None:\n            raise",
        "        if False:\n            raise",
        _BROKEN,
        "dropped_file or is_served_at_the_root_again",
    ),
    Change(
        "the root that is of no other service when one breaks",
        f"{_INTAKE}/catalogue.py",
        "if len(names) == 1",
        "if len(self._services) == 1",
        _BROKEN,
        "root_does_not_move",
    ),
    without(
        "the look at jobs when services come in",
        f"{_ENGINE}/engine.py",
        "        self.dispatcher.look_again(self.recovery)\n",
        _WAITING,
        "adopted_when_it_is_mended",
    ),
    without(
        "the release of what no new job gets",
        f"{_ENGINE}/engine.py",
        "        for service in change.retired:\n            release(self.plugins, service)\n",
        _WAITING,
        "no_new_job_gets",
    ),
    Change(
        "a job that is put back when its host lacks something",
        f"{_DISPATCH}/job_run.py",
        "            if isinstance(error, Unavailable) and self._fresh and not self._cancelled:\n",
        "            if False:\n",
        _WAITING,
        "image_has_gone",
    ),
    Change(
        "the claim of an earlier engine, which is not undone",
        f"{_DISPATCH}/job_run.py",
        "isinstance(error, Unavailable) and self._fresh and not",
        "isinstance(error, Unavailable) and not",
        _WAITING,
        "earlier_engine_has_started",
    ),
    Change(
        "the claim that is not undone after a transient error",
        f"{_DISPATCH}/job_run.py",
        "                self._fresh = False\n                await",
        "                await",
        _WAITING,
        "before_the_disk_failed",
    ),
    without(
        "the service that is broken when a job is put back",
        f"{_DISPATCH}/dispatcher.py",
        "        self._tools.unavailable(run.service, lack)\n",
        _WAITING,
        "image_has_gone",
    ),
    Change(
        "a cancel that comes while a job is put back",
        f"{_DISPATCH}/dispatcher.py",
        "        self.backlog.add(job)\n        self._cancelling.look_for(job.id)\n",
        "        self.backlog.add(job)\n",
        _WAITING,
        "while_a_job_is_put_back",
    ),
    Change(
        "SIGHUP",
        f"{_ENGINE}/server.py",
        "_on(signal.SIGHUP, self._reload.set)",
        "_on(signal.SIGHUP, lambda: None)",
        _RELOAD,
        "sighup",
    ),
    Change(
        "a request to reload that was made again meanwhile",
        "spool/treadle_spool/services.py",
        "not in {self, None}:",
        "is None and False:",
        _SERVICES,
        "made_again",
    ),
    no_follow(
        "a request to reload",
        "spool/treadle_spool/services.py",
        "os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW",
        _SERVICES,
        "link_of_that_name",
    ),
    Change(
        "a request to reload that can't be removed",
        f"{_ENGINE}/operate/service_list.py",
        " and request != self._refused:",
        ":",
        _RELOAD,
        "left_alone",
    ),
)
