"""Programs that leave files open."""

from __future__ import annotations

PROGRAMS = {
    "C's file": """
import ctypes
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
def run(data, params):
    file = libc.fopen(f"{data['folder']}/c".encode(), b"w")
    libc.fprintf(ctypes.c_void_p(file), b"written")
""",
    "an open file": """
def run(data, params):
    global LOG
    LOG = open(data['folder'] + '/log', 'w')
    LOG.write('a line')
""",
    "a binary file in a class": """
class Keeper:
    pass
def run(data, params):
    Keeper.file = open(data['folder'] + '/bytes', 'wb')
    Keeper.file.write(b'x' * 5000)
    return 1
""",
    "gzip": """
import gzip
def run(data, params):
    global FILE
    FILE = gzip.GzipFile(data['folder'] + '/z.gz', 'wb', mtime=0)
    FILE.write(b'x' * 100000)
""",
    "lzma and bz2": """
import bz2, lzma
FILES = []
def run(data, params):
    for module, name in ((lzma.LZMAFile, 'x'), (bz2.BZ2File, 'b')):
        FILES.append(module(data['folder'] + '/' + name, 'w'))
        FILES[-1].write(b'x' * 100000)
""",
    "zip": """
import zipfile
def run(data, params):
    global FILE
    FILE = zipfile.ZipFile(data['folder'] + '/z.zip', 'w')
    FILE.writestr(zipfile.ZipInfo('name'), 'content')
""",
    "a shelf": """
import shelve
def run(data, params):
    global SHELF
    SHELF = shelve.open(data['folder'] + '/shelf', writeback=True)
    SHELF['x'] = [1]
    SHELF['x'].append(2)
    SHELF.sync()
    return SHELF['x']
""",
    "a database": """
import sqlite3
def run(data, params):
    global BASE
    BASE = sqlite3.connect(data['folder'] + '/base')
    BASE.execute('create table t (x)')
    BASE.execute('insert into t values (1)')
    BASE.commit()
    BASE.execute('insert into t values (2)')
    return [list(row) for row in sqlite3.connect(data['folder'] + '/base').execute('select x from t')]
""",
    "many kinds of files": """
import array, csv, io, mmap, os, tarfile
def run(data, params):
    global TABLE, WRITER, TAR, MAP, BOTH
    TABLE = open(data['folder'] + '/table.csv', 'w', newline='')
    WRITER = csv.writer(TABLE)
    WRITER.writerows([['a', 'b'], [1, 2.5]])
    TAR = tarfile.open(data['folder'] + '/archive.tar', 'w')
    member = tarfile.TarInfo('member')
    member.size = 7
    TAR.addfile(member, io.BytesIO(b'content'))
    file = open(data['folder'] + '/map', 'w+b')
    file.truncate(4096)
    MAP = mmap.mmap(file.fileno(), 4096)
    MAP[:5] = b'bytes'
    BOTH = open(data['folder'] + '/both', 'w+b', buffering=100)
    BOTH.write(b'x' * 150)
    BOTH.seek(3)
    BOTH.write(b'y')
""",
    "compressed archives": """
import io, tarfile, zipfile
def run(data, params):
    global ZIP, TAR
    ZIP = zipfile.ZipFile(data['folder'] + '/a.zip', 'w', zipfile.ZIP_DEFLATED)
    ZIP.writestr(zipfile.ZipInfo('first'), 'content' * 100)
    with ZIP.open(zipfile.ZipInfo('second'), 'w') as part:
        part.write(b'in parts')
    TAR = tarfile.open(data['folder'] + '/a.tar.xz', 'w:xz')
    TAR.addfile(tarfile.TarInfo('empty'))
""",
    "text in gzip, bz2 and lzma": """
import bz2, gzip, io, lzma
FILES = []
def run(data, params):
    for module, name in ((bz2, 'b.bz2'), (lzma, 'x.xz')):
        FILES.append(module.open(data['folder'] + '/' + name, 'wt'))
        FILES[-1].write('a line\\n' * 1000)
    FILES.append(io.TextIOWrapper(gzip.GzipFile(data['folder'] + '/z.gz', 'w', mtime=0)))
    FILES[-1].write('a line\\n' * 1000)
""",
    "databases": """
import dbm, dbm.dumb, sqlite3
def run(data, params):
    global DUMB, BASE, CURSOR
    DUMB = dbm.dumb.open(data['folder'] + '/dumb')
    DUMB['key'] = 'value'
    BASE = sqlite3.connect(data['folder'] + '/base', isolation_level=None)
    BASE.execute('create table t (x)')
    BASE.execute('insert into t values (1)')
    BASE.create_function('twice', 1, lambda x: 2 * x)
    CURSOR = BASE.execute('select twice(x) from t')
    return [next(CURSOR)[0]]
""",
    "a shelf that is not closed": """
import shelve
def run(data, params):
    global SHELF
    SHELF = shelve.open(data['folder'] + '/shelf', writeback=True)
    SHELF['list'] = []
    SHELF['list'].append(1)
""",
    "temporary files": """
import os, tempfile
def run(data, params):
    global FILE, FOLDER, SPOOLED, PLAIN
    tempfile.tempdir = data['folder']
    FILE = tempfile.NamedTemporaryFile(mode='w')
    FILE.write('gone at the end')
    FOLDER = tempfile.TemporaryDirectory()
    open(FOLDER.name + '/inside', 'w').close()
    SPOOLED = tempfile.SpooledTemporaryFile(max_size=10)
    SPOOLED.write(b'x' * 100)
    PLAIN = tempfile.TemporaryFile()
    return len(os.listdir(data['folder']))
""",
    "temporary files where they belong": """
import os, tempfile
def run(data, params):
    global FILE
    FILE = tempfile.NamedTemporaryFile(delete=False)
    FILE.write(b'x' * 10)
    folder = tempfile.mkdtemp()
    places = {tempfile.gettempdir(), os.path.dirname(folder), os.path.dirname(FILE.name)}
    return [len(places), os.listdir(folder)]
""",
    "a file of a thread": """
import threading
LOCAL = threading.local()
def run(data, params):
    def work(number):
        LOCAL.file = open(f"{data['folder']}/{number}", 'w')
        LOCAL.file.write('by a thread')
    thread = threading.Thread(target=work, args=(1,))
    thread.start()
    thread.join()
    work(2)
""",
    "files in places that are hard to see": """
import contextvars, functools, types
VARIABLE = contextvars.ContextVar('file')
class Slots:
    __slots__ = ('file',)
def default(file=[]):
    return file
def run(data, params):
    global CLOSURE, PARTIAL
    VARIABLE.set(open(data['folder'] + '/context', 'w'))
    VARIABLE.get().write('in a context')
    slots = Slots()
    slots.file = open(data['folder'] + '/slots', 'w')
    slots.file.write('in a slot')
    file = open(data['folder'] + '/closure', 'w')
    file.write('in a closure')
    CLOSURE = lambda: file
    CLOSURE.slots = slots
    PARTIAL = functools.partial(print, file=open(data['folder'] + '/partial', 'w'))
    PARTIAL('in a partial function')
    default().append(open(data['folder'] + '/default', 'w'))
    default()[0].write('in a default')
""",
    "a file in a cycle": """
class Node:
    pass
def run(data, params):
    node = Node()
    node.itself, node.file = node, open(data['folder'] + '/cycle', 'w')
    node.file.write('in a cycle')
""",
}
