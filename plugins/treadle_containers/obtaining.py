"""How an image comes about that this host lacks: pulled, loaded from an archive, or built from a Dockerfile.

Nothing is fetched from a registry unless the service has `pull = true`. Docker's builder would ask one for a
base image that is not here, and no option of its API forbids it; so the base images are looked for first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from treadle import Service, may_pass
from treadle_containers.archive import check_archive
from treadle_containers.context import Context
from treadle_containers.dockerfile import Dockerfile, dockerfile_of
from treadle_containers.engine import (
    ContainerEngine,
    EngineError,
    EngineUnreachable,
    NoSuchImage,
    NotBuilt,
    NotFetched,
    NotLoaded,
    Report,
)
from treadle_containers.options import ImageOptions

ARCHIVE = "image.tar"
"""The archive beside a project, which is loaded instead of a build."""
_LAST_LINES = 15
"""Lines of a build that are shown with its failure."""


async def obtain(engine: ContainerEngine, service: Service, tag: str, report: Report) -> None:
    """Make the image of a service, under the name that it has.

    Raises NoSuchImage for one that has to be there, else NotFetched, NotLoaded or NotBuilt.
    """
    if (lack := await lacking(engine, service)) is not None:
        raise NoSuchImage(lack)
    options = _options(service)
    if options.image is not None:
        await _pull(engine, tag, report)
    elif (archive := service.path / ARCHIVE).exists():
        await _load(engine, tag, archive, report)
    else:
        await _build(engine, service.path, tag, options.pull, report)


async def lacking(engine: ContainerEngine, service: Service) -> str | None:
    """Return which image a service needs that is not on this host, and that nothing makes or fetches.

    It is the service's own, or one that its Dockerfile builds on. None where there is nothing to say, or the
    Dockerfile can't be read: its build tells. Raises EngineError.
    """
    options = _options(service)
    remedy = f"and nothing is fetched: load it with `{engine.name} load`, or set `pull = true`"
    if options.pull:
        return None
    if options.image is not None:
        is_here = await engine.image(options.image) is not None
        return None if is_here else f"image {options.image!r} is not on this host, {remedy}"
    path = dockerfile_of(service.path)
    if path is None or (service.path / ARCHIVE).exists():
        return None
    with suppress(OSError):
        for base in (await asyncio.to_thread(Dockerfile, path)).bases():
            if await engine.image(base) is None:
                return f"{path.name} builds on image {base!r}, which is not on this host, {remedy}"
    return None


async def _pull(engine: ContainerEngine, name: str, report: Report) -> None:
    with _refusals(engine, NotFetched, f"image {name!r} is not on this host, and can't be fetched"):
        await engine.pull(name, report)


async def _load(engine: ContainerEngine, tag: str, archive: Path, report: Report) -> None:
    try:
        with _refusals(engine, NotLoaded, f"{archive.name} can't be loaded"):
            await asyncio.to_thread(check_archive, archive)
            await engine.load(tag, archive, report)
    except OSError as error:
        if may_pass(error):
            raise
        raise NotLoaded(f"{archive.name} can't be read: {error}") from error


async def _build(engine: ContainerEngine, project: Path, tag: str, pull: bool, report: Report) -> None:
    path = dockerfile_of(project)
    if path is None:
        raise NotBuilt(f"the Dockerfile of {project} is gone")
    with faults_of_files():
        dockerfile = await asyncio.to_thread(Dockerfile, path)
        context = await asyncio.to_thread(lambda: Context(project).pack())
    with context:
        lines: deque[str] = deque(maxlen=_LAST_LINES)

        def note(line: str) -> None:
            lines.append(line.rstrip())
            report(line)

        text = f"{path.name} can't be built{_remedy(engine, dockerfile)}"
        with _refusals(engine, NotBuilt, text, lines):
            await engine.build(tag, context, path.name, pull, note)


@contextmanager
def _refusals(
    engine: ContainerEngine, kind: type[EngineError], text: str, lines: Iterable[str] = ()
) -> Iterator[None]:
    """Turn what the engine refuses into an error of a kind: a text, the engine's own, and further lines."""
    try:
        yield
    except (EngineUnreachable, kind):
        raise
    except EngineError as error:
        raise kind("\n".join((f"{text}. {engine.name} says: {error}", *lines))) from error


def _options(service: Service) -> ImageOptions:
    return service.options_of(ImageOptions, "container")


def _remedy(engine: ContainerEngine, dockerfile: Dockerfile) -> str:
    """Return what to do about a Dockerfile that the engine's builder does not know in full, else nothing."""
    feature = dockerfile.buildkit_feature()
    if engine.buildkit or feature is None:
        return ""
    return (
        f": it uses `{feature}` of BuildKit, which {engine.name}'s API does not offer. Build it by "
        '`docker buildx build --load -t NAME .`, and set `image = "NAME"` in treadle.toml; or use Podman'
    )


@contextmanager
def faults_of_files() -> Iterator[None]:
    """Turn what is wrong with a project's files into NotBuilt, apart from a transient error of the disk."""
    try:
        yield
    except ValueError as error:
        raise NotBuilt(str(error)) from error
    except OSError as error:
        if may_pass(error):
            raise
        raise NotBuilt(f"the project's files can't be read: {error}") from error
