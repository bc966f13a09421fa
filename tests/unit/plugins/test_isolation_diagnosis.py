from __future__ import annotations

import os

import pytest

from treadle import Settings
from treadle_python import diagnose
from treadle_python.isolation import diagnose_isolation


async def test_doctor_says_that_programs_see_only_what_they_are_given():
    if os.geteuid() != 0:
        pytest.skip("the host may permit no namespaces to ordinary users")
    diagnosis = await diagnose_isolation("auto")
    assert diagnosis.works
    assert diagnosis.detail == "a program sees nothing of the spool but what it is given"


async def test_doctor_says_what_a_program_can_do_where_there_are_no_namespaces():
    diagnosis = await diagnose_isolation("subreaper")
    assert diagnosis.works
    assert "forge the outcome of its own job" in diagnosis.detail


async def test_doctor_tries_what_the_engine_is_told_to_use(tmp_path):
    section = {"python-template": {"contain": "subreaper"}}
    settings = Settings(spool=tmp_path / "spool", services=tmp_path, plugins=section)
    (diagnosis,) = [each for each in await diagnose(settings) if each.subject == "isolation of programs"]
    assert "no namespaces" in diagnosis.detail
