from __future__ import annotations

from pathlib import Path

from treadle import Command, Mount


def test_a_relocated_command_has_its_paths_below_the_other_folder_and_nothing_else_changed():
    command = Command(
        argv=("/bin/run", "/spool/run/1", "/spoolish", "--in=/spool/run"),
        environment={"FOLDER": "/spool", "PATH": "/bin"},
        reads=(Mount(Path("/spool/run/1/job.json"), "/spool/run/1/job.json"),),
        writes=(Mount(Path("/else"), "/else"),),
        workdir=Path("/spool/tmp"),
        image="x",
    )
    there = command.relocated(Path("/spool"), Path("/mnt/b"))
    assert there.argv == ("/bin/run", "/mnt/b/run/1", "/spoolish", "--in=/spool/run")
    assert there.environment == {"FOLDER": "/mnt/b", "PATH": "/bin"}
    assert there.reads == (Mount(Path("/mnt/b/run/1/job.json"), "/mnt/b/run/1/job.json"),)
    assert there.writes == command.writes
    assert (there.workdir, there.image) == (Path("/mnt/b/tmp"), "x")
