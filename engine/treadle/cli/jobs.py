"""The commands for jobs: submit, status, result, interim, cancel, wait, list."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import click
import orjson

from treadle.cli.backends.base import Backend, Request
from treadle.cli.backends.choose import with_backend, with_listing_backend
from treadle.cli.job_options import job_options
from treadle.cli.options import FiniteRange
from treadle.cli.output import say_error
from treadle.cli.payload import read_payload

_STATES = ["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"]
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@click.option("--data", help="The input: JSON, @FILE, or @- for stdin.")
@click.option("--params", help="The parameters: JSON, or @FILE.")
@job_options
@click.option("--name", help="The job's name, instead of a new id; with --spool only.")
@click.option("--wait", "wait_", is_flag=True, help="Wait for the job's end and print its result.")
@with_backend
def submit(
    backend: Backend, data: str | None, params: str | None, name: str | None, wait_: bool, **options: Any
) -> None:
    """Submit a job and print its id.

    With --wait its result is printed instead, and the id on standard error; it exits as `treadle result`.
    """
    request = Request(
        data=read_payload(data, "--data"),
        params=read_payload(params, "--params"),
        name=name,
        **options,
    )
    job = backend.submit(request, patient=wait_)
    if not wait_:
        click.echo(job)
        return
    click.echo(f"job {job}", err=True)
    try:
        ended = backend.wait(job, None)
    except KeyboardInterrupt:
        click.echo(f"job {job} goes on; `treadle wait` waits for it, `treadle cancel` ends it", err=True)
        raise
    _print_result(backend, ended)


@click.command()
@click.argument("job", metavar="ID")
@_as_json
@with_backend
def status(backend: Backend, job: str, as_json: bool) -> None:
    """Print the status of a job."""
    _show(backend.status(job), as_json)


@click.command()
@click.argument("job", metavar="ID")
@with_backend
def result(backend: Backend, job: str) -> None:
    """Print the result of a job, exactly as it was returned.

    Exits with 0 if the job has succeeded, 1 if it has failed (then its failure is printed) or was cancelled,
    2 if it has not ended.
    """
    _print_result(backend, backend.status(job))


@click.command()
@click.argument("job", metavar="ID")
@click.option("--last", is_flag=True, help="Print only the newest one.")
@with_backend
def interim(backend: Backend, job: str, last: bool) -> None:
    """Print the interim results of a job, as JSON."""
    _print(backend.interim(job, last))


@click.command()
@click.argument("job", metavar="ID")
@_as_json
@with_backend
def cancel(backend: Backend, job: str, as_json: bool) -> None:
    """Cancel a job: a waiting one never starts, a running one is stopped."""
    _show(backend.cancel(job), as_json)


@click.command()
@click.argument("job", metavar="ID")
@click.option("--timeout", type=FiniteRange(0), help="Seconds to wait.  [default: no limit]")
@_as_json
@with_backend
def wait(backend: Backend, job: str, timeout: float | None, as_json: bool) -> None:
    """Wait for the end of a job.

    Exits with 0 if the job has succeeded, 1 if it has failed or was cancelled, 2 if it has not ended.
    """
    ended = backend.wait(job, timeout)
    _show(ended, as_json)
    _exit_by(ended)


@click.command("list")
@click.option("--state", type=click.Choice(_STATES, case_sensitive=False), help="Only jobs in this state.")
@click.option("--limit", type=click.IntRange(1), help="Only this many jobs, the newest.")
@_as_json
@with_listing_backend
def list_jobs(backend: Backend, state: str | None, limit: int | None, as_json: bool) -> None:
    """List the jobs of a spool, oldest first: of --spool, else of the spool in this host's settings."""
    jobs = [job for job in backend.jobs() if state is None or job["status"] == state.upper()]
    jobs = jobs[-limit:] if limit else jobs
    if as_json:
        _print(orjson.dumps(jobs))
        return
    from treadle.cli.table import print_table  # noqa: PLC0415  # rich is slow to import, and only tables need it

    columns = ("id", "service", "status", "createdAt", "startedAt", "endedAt")
    print_table(columns, [[str(job[column] or "") for column in columns] for job in jobs])


def _show(job: dict[str, Any], as_json: bool) -> None:
    if as_json:
        _print(orjson.dumps(job))
        return
    for name, value in job.items():
        if value is not None:
            click.echo(f"{name:<10} {value}")


def _print(raw: bytes) -> None:
    sys.stdout.buffer.write(raw + b"\n")


def _print_result(backend: Backend, job: dict[str, Any]) -> NoReturn:
    """Print the result of a job, or why there is none, and exit by its state."""
    state = job["status"]
    if state in {"SUCCEEDED", "FAILED"}:
        _print(backend.result(job["id"]))
    if state == "FAILED":
        say_error(f"job {job['id']} has failed")
    elif state != "SUCCEEDED":
        say_error(f"job {job['id']} has no result: it is {state}")
    _exit_by(job)


def _exit_by(job: dict[str, Any]) -> NoReturn:
    sys.exit({"SUCCEEDED": 0, "FAILED": 1, "CANCELLED": 1}.get(job["status"], 2))
