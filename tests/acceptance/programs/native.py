"""Programs that call libraries of C, C++ and Fortran, and the libraries."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

CPP = r"""
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
static std::string place;
struct Ends { ~Ends() { if (!place.empty()) std::ofstream(place + "/destroyed") << "by a destructor"; } };
static Ends ends;
static std::ofstream left_open;
struct PerThread { int used = 0; ~PerThread() { if (used) std::cout << "a thread's end\n"; } };
thread_local PerThread mine;
extern "C" void set_place(const char *folder) { place = folder; }
extern "C" void say(const char *text) { std::cout << text << " from C++\n"; }
extern "C" void say_unsynced(const char *text) {
    std::ios::sync_with_stdio(false);
    std::cout << text << " from C++, in its own buffer\n";
}
extern "C" void warn(const char *text) { std::clog << text << " in the log of C++\n"; }
extern "C" void write(const char *path) { left_open.open(path); left_open << "into an open stream"; }
extern "C" void use_thread_local() { mine.used = 1; }
extern "C" void fail() { throw std::runtime_error("nobody catches it"); }
"""
C = r"""
#define PY_SSIZE_T_CLEAN
#include <Python.h>
static FILE *file;
static void at_exit(void) { printf("at the exit of C\n"); }
static PyObject *say(PyObject *self, PyObject *text) {
    printf("%s from C\n", PyUnicode_AsUTF8(text));
    Py_RETURN_NONE;
}
static PyObject *leave(PyObject *self, PyObject *path) {
    file = fopen(PyUnicode_AsUTF8(path), "w");
    fprintf(file, "into a file that stays open");
    atexit(at_exit);
    Py_RETURN_NONE;
}
static PyMethodDef methods[] = {{"say", say, METH_O, ""}, {"leave", leave, METH_O, ""}, {NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "buffering", "", -1, methods};
PyMODINIT_FUNC PyInit_buffering(void) { return PyModule_Create(&module); }
"""
FORTRAN = """
subroutine say() bind(c)
  print *, 'from Fortran'
  write (*, '(A)', advance='no') 'half a line'
end subroutine
subroutine leave(path, length) bind(c)
  use iso_c_binding
  integer(c_int), value :: length
  character(kind=c_char), dimension(length) :: path
  character(len=length) :: name
  name = transfer(path, name)
  open (unit=20, file=name, status='replace')
  write (20, *) 'into a unit that stays open'
end subroutine
subroutine ends() bind(c)
  print *, 'before the stop'
  stop 3
end subroutine
"""
PROGRAMS = {
    "C++ streams": """
import ctypes
def run(data, params):
    global LIBRARY
    LIBRARY = ctypes.CDLL(data['native'] + '/cpp.so')
    LIBRARY.set_place(data['folder'].encode())
    LIBRARY.say(b'hello')
    LIBRARY.warn(b'a word')
    LIBRARY.write(data['folder'].encode() + b'/stream')
""",
    "C++ streams of a library that nothing refers to": """
import ctypes, gc
def run(data, params):
    library = ctypes.CDLL(data['native'] + '/cpp.so')
    library.set_place(data['folder'].encode())
    library.say_unsynced(b'hello')
    library.write(data['folder'].encode() + b'/stream')
    del library
    gc.collect()
    return 1
""",
    "C++ streams after print": """
import ctypes, sys
def run(data, params):
    library = ctypes.cdll.LoadLibrary(data['native'] + '/cpp.so')
    print('printed')
    sys.stdout.flush()
    library.say(b'hello')
    library.use_thread_local()
""",
    "C++ in a process of its own": """
import ctypes, multiprocessing
def work(data):
    library = ctypes.CDLL(data['native'] + '/cpp.so')
    library.write(data['folder'].encode() + b'/stream')
    library.say(b'hello')
def run(data, params):
    process = multiprocessing.get_context('fork').Process(target=work, args=(data,))
    process.start()
    process.join()
    return process.exitcode
""",
    "a C++ exception": """
import ctypes
def run(data, params):
    ctypes.CDLL(data['native'] + '/cpp.so').fail()
""",
    "Fortran": """
import ctypes
def run(data, params):
    global LIBRARY
    LIBRARY = ctypes.CDLL(data['native'] + '/fortran.so')
    LIBRARY.say()
    path = data['folder'] + '/unit'
    LIBRARY.leave(path.encode(), len(path))
""",
    "Fortran of a library that nothing refers to": """
import ctypes, gc
def run(data, params):
    library = ctypes.CDLL(data['native'] + '/fortran.so')
    library.say()
    path = data['folder'] + '/unit'
    library.leave(path.encode(), len(path))
    del library
    gc.collect()
    return [1.5]
""",
    "Fortran's stop": """
import ctypes
def run(data, params):
    ctypes.CDLL(data['native'] + '/fortran.so').ends()
""",
    "a C extension": """
import sys
def run(data, params):
    sys.path.insert(0, data['native'])
    import buffering
    buffering.say('hello')
    buffering.leave(data['folder'] + '/file')
""",
    "a C extension that is forgotten": """
import sys
def run(data, params):
    sys.path.insert(0, data['native'])
    import buffering
    buffering.leave(data['folder'] + '/file')
    del buffering, sys.modules['buffering']
    return 1
""",
}


class Libraries:
    """The libraries of these programs: each is compiled when it is first asked for, into one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.compile_for = functools.cache(self._compile_for)

    def skip_without(self, name: str) -> None:
        """Skip the test of the program of this name if its compiler is missing."""
        if (compiler := self.compile_for(name)) is not None:
            pytest.skip(f"there is no {compiler} on this host")

    def _compile_for(self, name: str) -> str | None:
        """Compile what the program needs, if it needs something; return the compiler that is missing."""
        if name not in PROGRAMS:
            return None
        source, compiler, library, text, *options = {
            "/cpp.so": ("cpp.cpp", "g++", "cpp.so", CPP),
            "/fortran.so": ("fortran.f90", "gfortran", "fortran.so", FORTRAN),
            "buffering": ("c.c", "gcc", "buffering.so", C, f"-I{sysconfig.get_paths()['include']}"),
        }[next(word for word in ("/cpp.so", "/fortran.so", "buffering") if word in PROGRAMS[name])]
        if shutil.which(compiler) is None:
            return compiler
        if not (self.folder / library).exists():
            (self.folder / source).write_text(text)
            command = [compiler, *options, "-shared", "-fPIC", "-o", library, source]
            subprocess.run(command, cwd=self.folder, check=True)
        return None
