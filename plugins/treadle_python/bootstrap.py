"""The start of our code in another interpreter, which has nothing of it installed."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
"""The folder with the package `treadle_inside`, which Python 3.8 and later can read."""

_CODE = """import sys
if sys.version_info < (3, 8):
    version = sys.version.split()[0]
    sys.exit("its Python is %s, and 3.8 or later is needed: set `python` in treadle.toml" % version)
sys.path[0] = sys.argv.pop(1)
from treadle_inside.{} import main
del sys.path[0]
main()
"""


def bootstrap(module: str) -> list[str]:
    """Return the interpreter's arguments that call `main` of a module in treadle_inside.

    Further arguments follow. The folder is on sys.path only while that module is imported.
    """
    return ["-c", _CODE.format(module), str(HERE)]
