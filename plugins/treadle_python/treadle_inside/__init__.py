"""What runs in a service's own interpreter: standard library only, Python 3.8 and later.

A fork server or a spawn process forks a supervisor. The supervisor forks the program. Nothing here imports
the engine: these processes report to it through the files of the attempt's folder.
"""

import sys

MODULES_BEFORE = frozenset(sys.modules)
"""What the interpreter itself has imported."""
