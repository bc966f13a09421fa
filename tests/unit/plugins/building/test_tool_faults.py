"""What users are told when an installer fails, by what uv and pip really print."""

from __future__ import annotations

import pytest

from treadle_python.building.tool_faults import explain


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (
            ["ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"],
            "disk is full",
        ),
        (["The virtual environment was not created: ensurepip is not available."], "python3-venv"),
        (
            [
                "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError('<x>')'",
                "ERROR: No matching distribution found for numpy",
            ],
            "treadle wheels",
        ),
        (["error: Request failed after 3 retries", "cause: dns error"], "treadle wheels"),
        (["error: command 'gcc' failed: No such file or directory"], "install a compiler"),
        (["error: [Errno 2] No such file or directory: 'x86_64-linux-gnu-gcc'"], "install a compiler"),
        (["../meson.build:1:0: ERROR: Unknown compiler(s): [['cc'], ['gcc']]"], "install a compiler"),
        (["ERROR: ResolutionImpossible: for help visit"], "contradict each other"),
        (["cause: Because you require a<2 and a>2, your requirements are unsatisfiable."], "contradict"),
        (["ERROR: No matching distribution found for nump"], "spelling"),
        (
            ["Because nump was not found in the package registry and you require nump, unsatisfiable"],
            "spelling",
        ),
        (["The lockfile at `uv.lock` needs to be updated, but `--locked` was provided."], "run `uv lock`"),
    ],
)
def test_the_remedy_is_told_with_the_tool_s_own_last_lines(output, words):
    said = explain("pip install", output, offline=False)
    assert said.startswith("pip install failed: ")
    assert output[-1] in said
    assert words in said
    assert "Retrying" not in said


def test_the_line_that_names_the_cause_is_told_where_it_is_not_among_the_last_ones_too():
    cause = "error: command 'gcc' failed: No such file or directory"
    said = explain("pip install", [cause, *(f"hint {number}" for number in range(9))], offline=False)
    assert f": {cause} | hint 5 |" in said
    assert "hint 8" in said


def test_without_a_network_the_wheel_folder_is_what_lacks_a_package():
    said = explain("pip install", ["ERROR: No matching distribution found for numpy"], offline=True)
    assert "add its wheel to the wheel folder" in said


def test_an_unknown_failure_is_told_as_it_is():
    assert explain("uv venv", ["", "it broke"], offline=False) == "uv venv failed: it broke"
