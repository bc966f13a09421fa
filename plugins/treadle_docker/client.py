"""aiodocker, imported also where the user has no home folder, as in many containers.

While it is imported it joins the home folder to a path, and there is none without HOME and without an entry
in /etc/passwd. Its clients are made with a URL, and look for none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Docker", "DockerError"]


@contextmanager
def _home() -> Iterator[None]:
    """Give the process a home folder for a moment, if it has none."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = "/"
        try:
            yield
        finally:
            del os.environ["HOME"]
    else:
        yield


with _home():
    from aiodocker import Docker, DockerError
