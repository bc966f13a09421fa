"""The public names of Treadle, for plugins and for programs that embed the engine."""

from treadle.interface.attempt import Attempt, Exit, Reason
from treadle.interface.build import Build
from treadle.interface.errors import PluginError, ServiceError, SettingsError, TreadleError
from treadle.interface.hookspecs import hookimpl
from treadle.interface.inputs import write_inputs
from treadle.interface.job import Job
from treadle.interface.json_text import json_fault
from treadle.interface.limits import open_files
from treadle.interface.parser import Found, Interim, Malformed, OutputParser, Result
from treadle.interface.program import Command, Mount, Program
from treadle.interface.runtime import Diagnosis, Runtime, StartError, Unavailable
from treadle.interface.service import Resources, Service
from treadle.interface.settings import Settings
from treadle.support.replacing import replace_file
from treadle.support.retrying import may_pass
from treadle_spool import Descriptor, State
from treadle_spool.boot import boot, is_this_boot
from treadle_spool.untrusted import UntrustedFile, open_untrusted, read_untrusted

__all__ = [
    "Attempt",
    "Build",
    "Command",
    "Descriptor",
    "Diagnosis",
    "Exit",
    "Found",
    "Interim",
    "Job",
    "Malformed",
    "Mount",
    "OutputParser",
    "PluginError",
    "Program",
    "Reason",
    "Resources",
    "Result",
    "Runtime",
    "Service",
    "ServiceError",
    "Settings",
    "SettingsError",
    "StartError",
    "State",
    "TreadleError",
    "Unavailable",
    "UntrustedFile",
    "boot",
    "hookimpl",
    "is_this_boot",
    "json_fault",
    "may_pass",
    "open_files",
    "open_untrusted",
    "read_untrusted",
    "replace_file",
    "write_inputs",
]
