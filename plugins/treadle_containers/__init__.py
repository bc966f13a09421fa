"""The common part of the container runtimes: what a service's container is, how it starts and how it ends.

A runtime for another container engine implements `ContainerEngine` and passes it to `ContainerRuntime`.
"""

import msgspec

from treadle import Program, Settings, hookimpl
from treadle_containers.address import Address
from treadle_containers.engine import (
    ARCHIVE_LIMIT,
    TAG_LABEL,
    ContainerEngine,
    ContainerState,
    EngineError,
    EngineUnreachable,
    ImageInfo,
    NameTaken,
    NoInit,
    NoSuchImage,
    NotBuilt,
    NotLoaded,
    Report,
    whole,
)
from treadle_containers.frames import FrameParser
from treadle_containers.logs import LogFile
from treadle_containers.options import ImageOptions, Section
from treadle_containers.program import Container
from treadle_containers.runtime import ContainerRuntime
from treadle_containers.spec import ContainerSpec, Limits

__all__ = [
    "ARCHIVE_LIMIT",
    "TAG_LABEL",
    "Address",
    "Container",
    "ContainerEngine",
    "ContainerRuntime",
    "ContainerSpec",
    "ContainerState",
    "EngineError",
    "EngineUnreachable",
    "FrameParser",
    "ImageInfo",
    "ImageOptions",
    "Limits",
    "LogFile",
    "NameTaken",
    "NoInit",
    "NoSuchImage",
    "NotBuilt",
    "NotLoaded",
    "Report",
    "Section",
    "register_programs",
    "whole",
]


class _NoKeys(msgspec.Struct, frozen=True):
    """The section `[plugins.container]` of engine.toml: the runtimes' plugins have their own."""


@hookimpl
def register_programs(settings: Settings) -> list[Program]:
    """Provide the program that the runtimes of container engines execute."""
    settings.section("container", _NoKeys)
    return [Container()]
