"""Treadle's public names: what a plugin, or a program that embeds the engine, may import."""

from treadle.errors import PluginError, ServiceError, SettingsError, TreadleError
from treadle.hookspecs import hookimpl
from treadle.job import Job
from treadle.parser import Found, Interim, Malformed, OutputParser, Result
from treadle.runtime import Attempt, Diagnosis, Exit, Reason, Runtime, StartError
from treadle.service import Resources, Service
from treadle.settings import Settings
from treadle.trouble import may_pass
from treadle_spool import Descriptor, State

__all__ = [
    "Attempt",
    "Descriptor",
    "Diagnosis",
    "Exit",
    "Found",
    "Interim",
    "Job",
    "Malformed",
    "OutputParser",
    "PluginError",
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
    "hookimpl",
    "may_pass",
]
