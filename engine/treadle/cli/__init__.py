"""The command line. The module of a command is imported only when the command is called."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import click

from treadle.cli.explain import EXIT_CODES, describe, describe_fault
from treadle.cli.group import LazyGroup
from treadle.cli.output import Output, say_error
from treadle.interface.errors import TreadleError
from treadle_spool import SpoolError


@click.group(
    cls=LazyGroup,
    commands={
        "serve": "treadle.cli.serve:serve",
        "run": "treadle.cli.run:run",
        "submit": "treadle.cli.jobs:submit",
        "status": "treadle.cli.jobs:status",
        "result": "treadle.cli.jobs:result",
        "interim": "treadle.cli.jobs:interim",
        "logs": "treadle.cli.logs:logs",
        "cancel": "treadle.cli.jobs:cancel",
        "list": "treadle.cli.jobs:list_jobs",
        "wait": "treadle.cli.jobs:wait",
        "gc": "treadle.cli.gc:gc",
        "reload": "treadle.cli.reload:reload",
        "build": "treadle.cli.build:build",
        "doctor": "treadle.cli.doctor:doctor",
        "plugins": "treadle.cli.plugins:plugins",
        "init": "treadle.cli.init:init",
    },
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="treadle")
def cli() -> None:
    """Run computational services as jobs on this host."""


def main() -> None:
    """Run the command line and exit, by the codes of EXIT_CODES; an error is one line on stderr."""
    output = Output.install()
    try:
        code = _call(output)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    sys.exit(output.finish(code))


def _call(output: Output) -> int:
    """Run the command and return its exit code."""
    try:
        code = cli.main(standalone_mode=False)
        return code if isinstance(code, int) else 0
    except (click.exceptions.Abort, KeyboardInterrupt):
        return 130
    except click.ClickException as error:
        with suppress(OSError):
            error.show()
        return error.exit_code
    except (TreadleError, SpoolError) as error:
        say_error(str(error))
        return getattr(error, "exit_code", 1)
    except OSError as error:
        if error is not output.error:  # of that, `finish` tells
            say_error(describe(error))
    except Exception as error:
        if os.environ.get("TREADLE_TRACEBACK"):
            raise
        say_error(describe_fault(error))
    return 1
