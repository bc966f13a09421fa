"""container.json: the record of an attempt's container, written before each step is done.

Nothing here is synced. After a power cut the file may be missing, empty, or older than it was. So what it
says of another boot is not believed (`outdated`), and a file that can't be read means that nothing is known
but the container's name, which is derived from the attempt.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
import orjson
from msgspec import Meta

from treadle import Attempt, is_this_boot, may_pass, read_untrusted, replace_file
from treadle_containers.spec import container_name

_NAME = "container.json"
_LONGEST = 64 * 1024

ContainerId = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9_.-]*\Z")]
"""What may stand in the path of a request."""


class Record(msgspec.Struct, frozen=True):
    """The container of an attempt and what is intended with it.

    It stays in the attempt's folder, so that the next engine process continues from it after a crash.
    """

    name: str = ""
    """The container's name, recorded before the container is created."""
    id: ContainerId | None = None
    """The container's id, recorded before the container is started; with an id it is not created again."""
    boot: str = ""
    """The boot of the container engine's host (`ContainerEngine.boot`); empty if it can't be told."""
    over: bool = False
    """Whether the container must not be created or started any more."""
    lost: str = ""
    """Why the attempt is lost, where that is known already."""
    overflowed: bool = False
    """Whether the container was stopped because it printed more than its limit."""

    @property
    def outdated(self) -> bool:
        """Whether the host has been started again since: what is known of the container may be torn."""
        return self.boot != "" and not is_this_boot(self.boot)

    @property
    def container(self) -> str | None:
        """The id of the attempt's container, or else the name that it may have; None: there is none."""
        return self.id or self.name or None

    @classmethod
    def read(cls, attempt: Attempt) -> Record | None:
        """Return the record of an attempt, or None if there is none.

        A file that can't be read (a power cut has emptied it, or something else has its name) gives a record
        that forbids a start. Raises OSError for a transient error.
        """
        try:
            raw = read_untrusted(attempt.folder / _NAME, _LONGEST)
            record = msgspec.json.decode(raw, type=cls)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, RecursionError) as error:
            if may_pass(error):
                raise
            record = cls(over=True, lost="the record of its container was damaged, perhaps by a power cut")
            return msgspec.structs.replace(record, name=container_name(attempt))
        # The name is derived, so that a record never names a container of another attempt.
        return msgspec.structs.replace(record, name=container_name(attempt) if record.name else "")

    def write(self, attempt: Attempt) -> Record:
        """Write the record atomically and return it; a power cut may empty it (see read)."""
        replace_file(attempt.folder, _NAME, orjson.dumps(msgspec.to_builtins(self)))
        return self
