"""Programs that print, read and replace the streams."""

from __future__ import annotations

PROGRAMS = {
    "C's printf": """
import ctypes
def run(data, params):
    ctypes.CDLL(None).printf(b'PlanQK:Job:Result: {"x": 1}\\n')
""",
    "C's printf, by a library that was there before": """
import ctypes
def run(data, params):
    ctypes.pythonapi.printf(b'half a line')
""",
    "no newline": """
import sys
def run(data, params):
    sys.stdout.write('half a line')
    sys.stderr.write('half an error')
""",
    "a replaced stream": """
import io, sys
def run(data, params):
    sys.stdout = io.TextIOWrapper(open(1, 'wb', closefd=False), encoding='latin-1')
    print('\u00fc')
""",
    "prints without newlines": """
import sys, time
def run(data, params):
    print('one', end=' ')
    print('two', end='\\r', flush=True)
    print('three\\r\\nfour', end='')
    print('an error', end='', file=sys.stderr)
""",
    "prints of any text": """
import sys
def run(data, params):
    print('\u00fc \u4e16 \U0001f600 \\0 \\x1b[1m \u2028 |')
    print('\u00fc \\udc80 \\ud800', file=sys.stderr)
""",
    "half a surrogate pair": """
def run(data, params):
    print('before')
    print('\\ud800')
""",
    "a name that is not UTF-8": """
import os
def run(data, params):
    open(os.fsencode(data['folder']) + b'/\\xff', 'w').close()
    print(os.listdir(data['folder'])[0])
    os.remove(os.fsencode(data['folder']) + b'/\\xff')
""",
    "what the streams are": """
import sys
def run(data, params):
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        print(stream.name, stream.mode, stream.encoding, stream.errors, stream.newlines, stream.isatty())
        print(stream.fileno(), stream.closed, stream.writable(), stream.buffer.name, stream.buffer.raw.name)
        print(type(stream), type(stream.buffer), type(stream.buffer.raw), stream.buffer.raw.mode)
    return [sys.stdin is sys.__stdin__, sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__]
""",
    "bytes and text in turn": """
import os, sys
def run(data, params):
    for number in range(3):
        print('text', number, flush=True)
        sys.stdout.buffer.write(b'bytes \\xff\\n')
        sys.stdout.buffer.flush()
        os.write(1, b'past the buffers\\n')
    sys.stdout.buffer.write(b'left in the buffer')
""",
    "much output": """
import sys
def run(data, params):
    for number in range(20000):
        print(number, 'x' * 50)
        if number % 100 == 0:
            print(number, file=sys.stderr)
""",
    "stdin": """
import os, sys
def run(data, params):
    said = [sys.stdin.read(), sys.stdin.readline(), os.read(0, 10).decode(), list(sys.stdin)]
    try:
        input('asks ')
    except EOFError as error:
        said.append(str(error))
    return said
""",
    "a redirection": """
import contextlib, io
def run(data, params):
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        print('held back')
    print('seen')
    return text.getvalue()
""",
    "a redirection of the descriptor": """
import os, sys
def run(data, params):
    kept = os.dup(1)
    file = os.open(data['folder'] + '/out', os.O_CREAT | os.O_WRONLY)
    os.dup2(file, 1)
    print('into a file', flush=True)
    os.system('echo as well')
    os.dup2(kept, 1)
    os.close(kept)
    print('printed')
""",
    "a stream that stays replaced": """
import sys
class Both:
    def __init__(self, stream, path):
        self.stream, self.file = stream, open(path, 'w')
    def write(self, text):
        self.file.write(text)
        return self.stream.write(text.upper())
    def flush(self):
        self.stream.flush()
def run(data, params):
    sys.stdout = Both(sys.stdout, data['folder'] + '/copy')
    print('to both')
""",
    "a stream that is closed": """
import sys
def run(data, params):
    print('before')
    sys.stdout.close()
    return 1
""",
    "streams that are closed, and an exit": """
import sys
def run(data, params):
    sys.stdout.close()
    sys.stderr.close()
    sys.exit('nobody reads it')
""",
    "streams that are None": """
import sys
def run(data, params):
    sys.stdout = sys.stderr = None
    print('nowhere')
    sys.exit('nobody reads it')
""",
    "a detached stream": """
import io, sys
def run(data, params):
    print('before')
    sys.stdout = io.TextIOWrapper(sys.stdout.detach(), encoding='utf-8', write_through=True)
    print('after')
""",
    "a stream that is configured anew": """
import sys
def run(data, params):
    sys.stdout.reconfigure(encoding='latin-1', errors='replace', newline='\\r\\n')
    print('\u00fc \u4e16')
    sys.stderr.reconfigure(line_buffering=False)
    print('an error', file=sys.stderr)
""",
    "a stream that fails at its end": """
import sys
class Fails:
    def write(self, text):
        return len(text)
    def flush(self):
        raise OSError('it can not be flushed')
def run(data, params):
    print('before')
    sys.stdout = Fails()
    return 1
""",
    "the locale": """
import codecs, locale, os, sys, time
def run(data, params):
    before = locale.setlocale(locale.LC_ALL)
    locale.setlocale(locale.LC_ALL, '')
    return [before, locale.setlocale(locale.LC_ALL), locale.getpreferredencoding(),
        sys.getfilesystemencoding(),
        sys.getfilesystemencodeerrors(), locale.localeconv()['decimal_point'], time.strftime('%A', (0,) * 9),
        sys.getdefaultencoding(), os.fsencode('\u00fc').hex(), time.tzname, sys.flags.utf8_mode]
""",
    "warnings": """
import warnings
def run(data, params):
    for number in range(2):
        warnings.warn('a warning')
        warnings.warn('a deprecation', DeprecationWarning)
        warnings.warn('a warning of resources', ResourceWarning)
    warnings.simplefilter('always')
    warnings.warn('the last', UserWarning, stacklevel=1)
    return [(each[0], each[2].__name__) for each in warnings.filters]
""",
    "logging to a stream": """
import logging, sys
def run(data, params):
    logging.warning('by default')
    logging.basicConfig(stream=sys.stdout, level=logging.DEBUG, force=True,
        format='%(levelname)s %(name)s %(module)s %(funcName)s %(threadName)s %(processName)s %(message)s')
    logging.getLogger('of its own').debug('to stdout')
    logging.getLogger().info('%s and %s', 1, 2)
""",
}
