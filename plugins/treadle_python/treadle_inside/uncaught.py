"""An exception that a program does not catch: how it is shown, and what it says."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    import types

_HERE = os.path.dirname(__file__) + os.sep
_LOADING = "load"
"""The function in calling.py that imports the module of the service."""
_REQUIREMENTS = ("requirements.txt", "pyproject.toml")
_REMEDY = 'set `workdir = "project"` in treadle.toml to have programs run there, and not in an empty folder'


def show(error: BaseException) -> None:
    """Write an exception to stderr as the interpreter would, by the program's own hook if it has set one.

    Raises SystemExit if that does.
    """
    error.__traceback__ = _of_program(error.__traceback__)
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except SystemExit:
        raise
    except BaseException as other:  # noqa: BLE001  # the interpreter shows both then
        sys.__excepthook__(type(other), other, other.__traceback__)
        sys.__excepthook__(type(error), error, error.__traceback__)


def _of_program(traceback: types.TracebackType | None) -> types.TracebackType | None:
    """Return the part of a traceback that does not lie in Treadle's own files.

    Of an error in those all of it is returned, but nothing of one by which the module could not be loaded.
    """
    part = traceback
    loading = False
    while part is not None and part.tb_frame.f_code.co_filename.startswith(_HERE):
        loading = part.tb_frame.f_code.co_name == _LOADING
        part = part.tb_next
    return part if part is not None or loading else traceback


def detail(error: BaseException, project: str) -> str:
    """Return the message of an exception, or its class where it has none, or can't tell it.

    A file that is missed and lies in the project gets a word on how to find it, and a module that is missed
    on how to install it.
    """
    try:
        text = str(error) or type(error).__name__
    except BaseException:  # noqa: BLE001  # its __str__ is the program's
        return type(error).__name__
    name = error.filename if isinstance(error, FileNotFoundError) else None
    if isinstance(error, ModuleNotFoundError):
        text += _how_to_install(error, project)
    if (
        isinstance(name, str)
        and name
        and not os.path.isabs(name)
        and os.path.exists(os.path.join(project, name))
    ):
        text += f" (it is there in the project: {_REMEDY})"
    return text


def _how_to_install(error: ModuleNotFoundError, project: str) -> str:
    """Return what to do for a module that is not there; nothing for one of the project's own."""
    name = (error.name or "").partition(".")[0]
    own = os.path.join(project, name)
    if not name or name in sys.modules or os.path.exists(own) or os.path.exists(f"{own}.py"):
        return ""
    build = f"`treadle build {project}`"
    environment = os.path.join(project, ".venv")
    if os.path.isdir(environment) and not (
        os.path.islink(environment) and os.readlink(environment).startswith(".venvs/")
    ):
        return f" (install its package into {environment}, which `treadle build` leaves as it is)"
    if not os.path.lexists(environment):
        for file in _REQUIREMENTS:
            if os.path.exists(os.path.join(project, file)):
                return f" ({build} installs what {file} names)"
    return f" (name its package in requirements.txt, then {build} installs it)"
