"""The command line. The module of a command is imported only when the command is called."""

from __future__ import annotations

import sys

import click

from treadle.cli.group import LazyGroup
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
        "build": "treadle.cli.build:build",
        "doctor": "treadle.cli.doctor:doctor",
        "plugins": "treadle.cli.plugins:plugins",
        "init": "treadle.cli.init:init",
    },
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="treadle")
def cli() -> None:
    """Run computational services as jobs on this host."""


def main() -> None:
    """Run the command line and exit. An error that a user can mend is one line on stderr, no traceback."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        code = 130
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (TreadleError, SpoolError) as error:
        click.echo(f"Error: {error}", err=True)
        code = 1
    except BrokenPipeError:
        code = 141
    sys.exit(code if isinstance(code, int) else 0)
