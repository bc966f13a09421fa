"""Programs that do something at their end, or end in another way than by a return."""

from __future__ import annotations

PROGRAMS = {
    "a finaliser": """
class Ends:
    def __init__(self, path):
        self.path = path
    def __del__(self):
        open(self.path, 'w').write('ended')
def run(data, params):
    global KEPT
    KEPT = Ends(data['folder'] + '/ended')
""",
    "a generator": """
def steps(path):
    try:
        yield 1
    finally:
        open(path, 'w').write('left')
def run(data, params):
    global STEPS
    STEPS = steps(data['folder'] + '/left')
    return next(STEPS)
""",
    "weakref and atexit": """
import atexit, weakref
class Kept:
    pass
KEPT = Kept()
def run(data, params):
    path = data['folder'] + '/order'
    def note(text):
        with open(path, 'a') as file:
            file.write(text)
    weakref.finalize(KEPT, note, 'finalize ')
    atexit.register(note, 'atexit ')
""",
    "logging": """
import logging, logging.handlers
def run(data, params):
    file = logging.FileHandler(data['folder'] + '/log', delay=True)
    logging.getLogger().addHandler(logging.handlers.MemoryHandler(100, target=file))
    logging.getLogger().warning('a warning')
""",
    "a thread": """
import threading, time
def run(data, params):
    def later():
        time.sleep(0.3)
        open(data['folder'] + '/later', 'w').write('later')
        print('from a thread')
    threading.Thread(target=later).start()
    return 1
""",
    "a daemon thread": """
import threading, time
def run(data, params):
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    return 1
""",
    "asyncio": """
import asyncio
async def run(data, params):
    await asyncio.sleep(0)
    return 'awaited'
""",
    "an exit": """
import sys
def run(data, params):
    print('before')
    open(data['folder'] + '/file', 'w').write('x')
    sys.exit(3)
""",
    "an exit with a message": """
import sys
def run(data, params):
    sys.exit('no more')
""",
    "a finaliser without fields": """
class Ends:
    __slots__ = ()
    def __del__(self):
        print('ended')
def run(data, params):
    global KEPT
    KEPT = Ends()
""",
    "a callback of a weak reference": """
import weakref
class Kept:
    pass
def run(data, params):
    global KEPT, REFERENCE
    KEPT = Kept()
    REFERENCE = weakref.ref(KEPT, lambda reference: print('it is gone'))
""",
    "a finaliser that raises": """
class Ends:
    def __del__(self):
        raise ValueError('in a finaliser')
def run(data, params):
    global KEPT
    KEPT = Ends()
    Ends()
    return 1
""",
    "finalisers in their order": """
class Ends:
    def __init__(self, name):
        self.name = name
    def __del__(self):
        print('ends', self.name)
FIRST, _HIDDEN, SECOND = Ends('first'), Ends('hidden'), Ends('second')
def run(data, params):
    local = Ends('local')
    cycle = Ends('cycle')
    cycle.itself = cycle
    Ends('at once')
    return Ends.__name__
""",
    "a finaliser of a class": """
class Meta(type):
    def __del__(cls):
        print('a class ends')
def run(data, params):
    global KEPT
    KEPT = Meta('Kept', (), {})
""",
    "exit handlers": """
import atexit, sys, threading
def run(data, params):
    atexit.register(print, 'the last')
    atexit.register(lambda: atexit.register(print, 'registered by a handler'))
    thread = threading.Thread(target=atexit.register, args=(print, 'of a thread'))
    thread.start()
    thread.join()
    atexit.register(print, 'taken back')
    atexit.unregister(print)
    atexit.register(sys.stdout.write, 'half a line')
""",
    "an exit handler that raises": """
import atexit
def run(data, params):
    def fails():
        raise ValueError('in a handler')
    atexit.register(print, 'after it')
    atexit.register(fails)
    return 1
""",
    "an exit in an exit handler": """
import atexit, sys
def run(data, params):
    atexit.register(print, 'after it')
    atexit.register(lambda: sys.exit(5))
""",
    "an exit handler that stops all": """
import atexit, os
def run(data, params):
    atexit.register(print, 'never')
    atexit.register(os._exit, 6)
    return 1
""",
    "an exit handler that starts a thread": """
import atexit, threading
def run(data, params):
    def late():
        try:
            thread = threading.Thread(target=print, args=('in a late thread',))
            thread.start()
            thread.join()
        except RuntimeError as error:
            print(error)
    atexit.register(late)
""",
    "an exit with a large number": "import sys\ndef run(data, params):\n    sys.exit(256 + 7)\n",
    "an exit with a huge number": "import sys\ndef run(data, params):\n    sys.exit(2 ** 40 + 7)\n",
    "an exit with a negative number": "import sys\ndef run(data, params):\n    sys.exit(-2)\n",
    "an exit with nothing": "def run(data, params):\n    print('before')\n    raise SystemExit\n",
    "an exit with an object": "def run(data, params):\n    raise SystemExit(['a', 1], 2.5)\n",
    "an exit with a float": "def run(data, params):\n    exit(2.0)\n",
    "an exit with True": "def run(data, params):\n    quit(True)\n",
    "an exit with text of any kind": "import sys\ndef run(data, params):\n    sys.exit('\u00fc \\udc80')\n",
    "an exit of a thread": """
import sys, threading
def run(data, params):
    thread = threading.Thread(target=sys.exit, args=(3,))
    thread.start()
    thread.join()
    return 1
""",
    "os._exit": """
import os
def run(data, params):
    global FILE
    FILE = open(data['folder'] + '/file', 'w')
    FILE.write('lost')
    os._exit(9)
""",
    "os.abort": "import os\ndef run(data, params):\n    os.abort()\n",
    "a signal": "import os, signal\ndef run(data, params):\n    os.kill(os.getpid(), signal.SIGTERM)\n",
    "a segmentation fault": """
import ctypes
def run(data, params):
    ctypes.string_at(0)
""",
    "signal handlers": """
import os, signal, time
def run(data, params):
    said = []
    signal.signal(signal.SIGUSR1, lambda number, frame: said.append(number))
    os.kill(os.getpid(), signal.SIGUSR1)
    signal.signal(signal.SIGALRM, lambda number, frame: said.append('alarm'))
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    signal.pause()
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        said.append('interrupted')
    signal.signal(signal.SIGCHLD, lambda number, frame: said.append('a child'))
    os.system('true')
    if os.fork() == 0:
        os._exit(0)
    os.wait()
    return said
""",
    "a broken pipe": """
import os, sys
def run(data, params):
    read, write = os.pipe()
    os.close(read)
    try:
        os.write(write, b'x')
    except BrokenPipeError as error:
        return error.errno
""",
    "an exception at the import": "import json\nraise ValueError('at the import')\n",
    "a module that is missing": "import json\nimport there_is_none\ndef run(data, params):\n    pass\n",
    "wrong syntax": "def run(data, params):\n    return )\n",
    "an exit at the import": "import sys\nsys.exit('at the import')\n",
    "an exception of a nested call": """
import json
def inner(depth):
    if depth:
        return inner(depth - 1)
    try:
        json.loads('[')
    except ValueError as error:
        raise RuntimeError('with a cause') from error
def run(data, params):
    print('before')
    inner(5)
""",
    "an exception and an exit handler": """
import atexit, sys
def run(data, params):
    atexit.register(lambda: print('at the end', sys.exc_info(), hasattr(sys, 'last_value')))
    raise KeyError('missing')
""",
    "an exception with notes": """
def run(data, params):
    error = ValueError('two\\nlines')
    if hasattr(error, 'add_note'):
        error.add_note('a note')
    raise error
""",
    "too deep a recursion": """
import sys
def deeper(depth):
    return deeper(depth + 1)
def run(data, params):
    try:
        deeper(0)
    except RecursionError as error:
        print(error)
    sys.setrecursionlimit(5000)
    def count(n):
        return n and 1 + count(n - 1)
    return count(4000)
""",
    "what it raises in a thread": """
import threading
def run(data, params):
    thread = threading.Thread(target=lambda: 1 / 0, name='a thread')
    thread.start()
    thread.join()
    return 1
""",
    "faulthandler": """
import faulthandler, sys
def run(data, params):
    faulthandler.register(10, all_threads=False)
    with open(data['folder'] + '/log', 'w') as file:
        faulthandler.dump_traceback_later(0.05, file=file, exit=False)
        faulthandler.cancel_dump_traceback_later()
    return [faulthandler.is_enabled()]
""",
    "hooks": """
import sys, threading
def run(data, params):
    sys.unraisablehook = lambda raised: print('unraisable:', raised.exc_value)
    threading.excepthook = lambda raised: print('in a thread:', raised.exc_value)
    class Ends:
        def __del__(self):
            raise ValueError('in a finaliser')
    Ends()
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    sys.displayhook(42)
""",
    "functions of os that are changed": """
import os
def run(data, params):
    for name in ('getpid', 'fstat', 'pwrite', 'ftruncate', 'close', 'waitpid', '_exit'):
        setattr(os, name, lambda *_, **__: 1)
    return ['changed']
""",
    "sys.exit that is changed, and an exception": """
import sys
def run(data, params):
    sys.exit = print
    raise ValueError('no value')
""",
    "a metaclass that raises": """
class Raises(type):
    def __getattr__(cls, name):
        raise RuntimeError(name)
class Strange(metaclass=Raises):
    pass
def run(data, params):
    global KEPT
    KEPT = [Strange()]
    return 1
""",
    "a hook that exits": """
import sys
def run(data, params):
    sys.excepthook = lambda *_: sys.exit(9)
    raise ValueError('no value')
""",
}
