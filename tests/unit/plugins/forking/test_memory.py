"""What a program finds in its memory, which is a copy of its supervisor's and the fork server's."""

from __future__ import annotations

from tests.unit.plugins.on_host import PythonOnHost

SEARCH = """
import re
def run():
    found = set()
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", buffering=0) as memory:
        for line in maps.readlines():
            place, rights, *_ = line.split()
            start, end = (int(each, 16) for each in place.split("-"))
            if rights.startswith("rw") and "[v" not in line:
                memory.seek(start)
                for match in re.finditer(rb'"TREADLE_JOB_ID": ?"([0-9]+)"', memory.read(end - start)):
                    found.add(int(match[1]))
    return sorted(found)
"""


async def test_a_program_does_not_find_the_environment_of_a_job_before_it(run, runtime):
    for number in range(3):  # the first one's request reached the server, the next ones' its supervisor
        assert set(await run(SEARCH)) <= {number}
    later = PythonOnHost("namespace", idle=0.2)  # its supervisor is forked from the same server
    await runtime.close()
    assert set(await run(SEARCH, later)) <= {3}
