"""Whether the user that an image names is root: what counts is its uid, by whatever name.

A number is a uid (`00`, too). Any other name is looked up as the container engines do it: in /etc/passwd of
the image, where the first entry of that name counts. An engine shows files of a container only, so the
attempt's own container is asked before it is started, once for each image. A name for which no uid is found
counts as root.

Dropped: a container made for the question alone, since a crash would leave it behind.
"""

from __future__ import annotations

import io
import posixpath
import tarfile

from treadle_containers.engine import ContainerEngine, ImageInfo

_PASSWD = "/etc/passwd"  # noqa: S105  # a file's name
_LONGEST_CHAIN = 8
"""Symbolic links that are followed from /etc/passwd."""
_UID_FIELD = 2


class Users:
    """The users of images on one container engine: a cache in memory, for the life of the runtime."""

    def __init__(self, engine: ContainerEngine) -> None:
        self._engine = engine
        self._roots: dict[str, bool] = {}
        """By the image's id: whether its user is root."""

    def is_root(self, image: ImageInfo) -> bool | None:
        """Return whether the image's user is root; None: a container of the image has to be asked."""
        name = _name(image.user)
        if not name:
            return True
        uid = _number(name)
        return self._roots.get(image.id) if uid is None else uid == 0

    async def look_up(self, image: ImageInfo, container: str) -> bool:
        """Ask a container of the image whether its user is root; raise EngineError."""
        passwd = await self._read(container, _PASSWD)
        self._roots[image.id] = _uid(_name(image.user), passwd) == 0
        return self._roots[image.id]

    async def _read(self, container: str, path: str) -> bytes:
        """Return the content of a file in a container; empty if there is none."""
        for _ in range(_LONGEST_CHAIN):
            member, content = _first_file(await self._engine.archive(container, path))
            if member is None or not member.issym():
                return content
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), member.linkname))
        return b""


def _name(user: str) -> str:
    """Return the user of `user:group`."""
    return user.partition(":")[0].strip()


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _uid(name: str, passwd: bytes) -> int:
    """Return the uid of a name; 0 if none is found."""
    for line in passwd.decode("utf-8", "replace").splitlines():
        fields = line.strip().split(":")
        if fields[0] == name and len(fields) > _UID_FIELD:
            return _number(fields[_UID_FIELD]) or 0
    return 0


def _first_file(archive: bytes) -> tuple[tarfile.TarInfo | None, bytes]:
    """Return the first member of a tar archive, and its content if it is a regular file."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            member = tar.next()
            file = None if member is None else tar.extractfile(member) if member.isfile() else None
            return member, b"" if file is None else file.read()
    except (tarfile.TarError, EOFError):
        return None, b""
