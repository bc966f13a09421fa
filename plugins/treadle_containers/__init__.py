"""The common part of the container runtimes: what a service's container is, how it starts and how it ends.

A runtime for another container engine implements `ContainerEngine` and passes it to `ContainerRuntime`.
"""

from treadle_containers.address import Address
from treadle_containers.engine import (
    ContainerEngine,
    ContainerState,
    EngineError,
    EngineUnreachable,
    ImageInfo,
    NameTaken,
    NoSuchImage,
    Report,
    whole,
)
from treadle_containers.frames import FrameParser
from treadle_containers.logs import LogFile
from treadle_containers.runtime import ContainerRuntime
from treadle_containers.spec import INPUT, ContainerSpec, Limits

__all__ = [
    "INPUT",
    "Address",
    "ContainerEngine",
    "ContainerRuntime",
    "ContainerSpec",
    "ContainerState",
    "EngineError",
    "EngineUnreachable",
    "FrameParser",
    "ImageInfo",
    "Limits",
    "LogFile",
    "NameTaken",
    "NoSuchImage",
    "Report",
    "whole",
]
