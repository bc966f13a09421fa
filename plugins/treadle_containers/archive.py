"""An archive with an image beside a project: what `docker save` or `podman save` has written."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

from treadle_containers.engine import NotLoaded

_MANIFEST, _INDEX = "manifest.json", "index.json"
"""What lists the images: of an archive of Docker's format, and of an OCI archive."""
_LONGEST = 4 * 1024 * 1024


def check_archive(path: Path) -> None:
    """Raise NotLoaded unless the archive has exactly one image, under as many names as it likes.

    It may be packed by gzip, bzip2 or xz. OSError is raised where it can't be read.
    """
    try:
        images = _images(path)
    except (tarfile.TarError, ValueError, EOFError, AttributeError, TypeError) as error:
        raise NotLoaded(
            f"{path.name} is no archive of one image, as `docker save` or `podman save` writes it: {error}"
        ) from error
    if len(images) != 1:
        names = ", ".join(name for each in images.values() for name in each)
        raise NotLoaded(
            f"{path.name} has {len(images)} images{f' ({names})' if names else ''}, and one is expected: "
            "save the one that is to run, alone"
        )


def _images(path: Path) -> dict[str, list[str]]:
    """Return the names of each image in an archive, by what identifies it."""
    found: dict[str, Any] = {}
    with tarfile.open(path) as tar:
        for member in tar:
            if member.name.removeprefix("./") in {_MANIFEST, _INDEX} and member.isfile():
                file = tar.extractfile(member)
                assert file is not None
                found[member.name.removeprefix("./")] = json.loads(file.read(_LONGEST))
    images: dict[str, list[str]] = {}
    if _MANIFEST in found:
        for entry in found[_MANIFEST]:
            images.setdefault(str(entry["Config"]), []).extend(entry.get("RepoTags") or ())
    elif _INDEX in found:
        for entry in found[_INDEX].get("manifests") or ():
            name = (entry.get("annotations") or {}).get("org.opencontainers.image.ref.name")
            images.setdefault(str(entry["digest"]), []).extend([name] if name else [])
    return images
