"""The options of `treadle submit` are made from the fields of a struct."""

from __future__ import annotations

from typing import Annotated

import click
import msgspec
import pytest
from click.testing import CliRunner

from treadle.cli import job_options
from treadle_spool import JobOptions


class More(JobOptions, frozen=True, kw_only=True):
    """The options of a job, and some that it may have one day."""

    nice: Annotated[int, msgspec.Meta(ge=0, lt=20, description="How nice.")] = 0
    parent_job: Annotated[str | None, msgspec.Meta(description="Whose child.")] = None
    tags: Annotated[tuple[str, ...], msgspec.Meta(description="Words.")] = ()
    urgent: Annotated[bool, msgspec.Meta(description="At once.")] = False


@pytest.fixture
def submit(monkeypatch):
    """Run a command with the options, and return what it is given."""
    monkeypatch.setattr(job_options, "JobOptions", More)
    given = {}
    command = click.command()(job_options.job_options(lambda **options: given.update(options)))

    def run(*arguments: str) -> dict[str, object]:
        result = CliRunner().invoke(command, arguments)
        assert result.exit_code == 0, result.output
        return given

    run.command = command
    return run


def test_nothing_given_is_every_default(submit):
    assert More(**submit()) == More()


def test_every_kind_of_option_is_read(submit):
    options = submit(
        *("--priority", "-3", "--timeout", "1.5", "--label", "a=b=c", "--label", "d="),
        *("--nice", "19", "--parent-job", "x", "--tag", "one", "--tag", "two", "--urgent"),
    )
    assert More(**options) == More(
        priority=-3,
        timeout=1.5,
        labels={"a": "b=c", "d": ""},
        nice=19,
        parent_job="x",
        tags=("one", "two"),
        urgent=True,
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--priority", "1001"], "1001 is not in the range -1000<=x<=1000"),
        (["--nice", "20"], "20 is not in the range 0<=x<20"),
        (["--timeout", "0"], "0.0 is not in the range 0<x<=31622400"),
        (["--label", "novalue"], "--label: 'novalue' is not key=value"),
        (["--label", "=x"], "--label: '=x' is not key=value"),
    ],
)
def test_what_is_out_of_bounds_is_an_error_of_usage(submit, arguments, words):
    result = CliRunner().invoke(submit.command, arguments)
    assert result.exit_code == 2
    assert words in result.output


def test_the_help_is_the_description(submit):
    text = CliRunner().invoke(submit.command, ["--help"]).output
    for words in (
        "Jobs of higher priority start first.  [default: 0]",
        "How nice.",
        "Whose child.",
        "KEY=VALUE",
    ):
        assert words in text
