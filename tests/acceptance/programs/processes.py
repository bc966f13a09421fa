"""Programs that start processes: multiprocessing in its three ways, os.fork, subprocess."""

from __future__ import annotations

_BY_METHOD = {
    "a pool that is left open": """
import multiprocessing
def double(x):
    print('doubles', x, flush=True)
    return 2 * x
def run(data, params):
    global POOL
    POOL = multiprocessing.get_context('METHOD').Pool(1)
    return POOL.map(double, [1, 2, 3])
""",
    "all that processes share": """
import multiprocessing
from multiprocessing import shared_memory
def work(queue, pipe, lock, event, number, array, barrier, name):
    with lock:
        queue.put({'from': 'a process'})
        pipe.send([1, 2])
    with number.get_lock():
        number.value += 1
    array[0] = 2.5
    memory = shared_memory.SharedMemory(name=name)
    memory.buf[0] = 42
    memory.close()
    barrier.wait(30)
    event.wait(30)
    print('works')
def run(data, params):
    context = multiprocessing.get_context('METHOD')
    queue, (ours, theirs), event, lock = context.Queue(), context.Pipe(), context.Event(), context.Lock()
    number, array, barrier = context.Value('i', 1), context.Array('d', 3), context.Barrier(2)
    memory = shared_memory.SharedMemory(create=True, size=100)
    arguments = (queue, theirs, lock, event, number, array, barrier, memory.name)
    process = context.Process(target=work, args=arguments)
    process.start()
    values = [queue.get(timeout=30), ours.recv()]
    barrier.wait(30)
    event.set()
    process.join()
    values += [process.exitcode, number.value, list(array), memory.buf[0]]
    memory.close()
    memory.unlink()
    return values
""",
    "a manager": """
import multiprocessing
def work(values, kept):
    values.append(1)
    kept['key'] = 'value'
def run(data, params):
    context = multiprocessing.get_context('METHOD')
    with context.Manager() as manager:
        values, kept = manager.list(), manager.dict()
        process = context.Process(target=work, args=(values, kept))
        process.start()
        process.join()
        return [list(values), dict(kept)]
""",
    "managers that are left open": """
import multiprocessing
from multiprocessing.managers import SharedMemoryManager
def run(data, params):
    global MANAGER, MEMORY
    context = multiprocessing.get_context('METHOD')
    MANAGER = context.Manager()
    MEMORY = SharedMemoryManager(ctx=context)
    MEMORY.start()
    return [list(MANAGER.list([1, 2])), list(MEMORY.ShareableList([1, 2, 'three']))]
""",
    "processes that end in their own ways": """
import multiprocessing, os, sys
def ends(how):
    print('begins', how)
    if how == 'raises':
        raise ValueError('in a process')
    if how == 'exits':
        sys.exit(4)
    sys.stdout.flush()
    os._exit(5)
def run(data, params):
    codes = []
    for how in ('raises', 'exits', 'stops'):
        process = multiprocessing.get_context('METHOD').Process(target=ends, args=(how,), name=how)
        process.start()
        process.join()
        codes.append(process.exitcode)
    return codes
""",
    "an executor": """
import concurrent.futures, multiprocessing
class Odd(Exception):
    pass
def half(x):
    if x % 2:
        raise Odd(x)
    return x // 2
def run(data, params):
    context = multiprocessing.get_context('METHOD')
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as executor:
        futures = [executor.submit(half, x) for x in range(4)]
        return [repr(future.exception()) or future.result() for future in futures]
""",
}
_OTHERS = {
    "a module that is run as well": """
import multiprocessing
print('imported as', __name__)
def work():
    import sys
    print('works for', sys.modules['__main__'].__dict__.get('double'))
def run(data, params):
    print('not main' if __name__ != '__main__' else 'main')
    process = multiprocessing.get_context('spawn').Process(target=work)
    process.start()
    process.join()
    return process.exitcode
if __name__ == '__main__':
    print('run as a script')
""",
    "functions that can't be pickled": """
import multiprocessing, pickle
class Thing:
    def method(self):
        return 'called'
def twice(x):
    return 2 * x
def run(data, params):
    said = [pickle.loads(pickle.dumps(twice))(2), pickle.loads(pickle.dumps(Thing().method))()]
    try:
        multiprocessing.get_context('spawn').Process(target=lambda: None).start()
    except (AttributeError, pickle.PicklingError) as error:
        said.append(str(error))
    return said
""",
    "the method that is set for all": """
import multiprocessing
def work():
    print('works by', multiprocessing.get_start_method())
def run(data, params):
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method('spawn', force=True)
    process = multiprocessing.Process(target=work)
    process.start()
    process.join()
    return [before, process.exitcode, multiprocessing.current_process().name]
""",
    "a daemonic process that goes on": """
import multiprocessing, time
def run(data, params):
    process = multiprocessing.get_context('fork').Process(target=time.sleep, args=(600,), daemon=True)
    process.start()
    return process.daemon
""",
    "a process that is not waited for": """
import multiprocessing, time
def work(path):
    time.sleep(0.3)
    print('later')
    with open(path, 'w') as file:
        file.write('later')
def run(data, params):
    multiprocessing.get_context('fork').Process(target=work, args=(data['folder'] + '/later',)).start()
    return 1
""",
    "shared memory that is forgotten": """
import os
from multiprocessing import shared_memory
def run(data, params):
    global MEMORY
    name = os.path.basename(data['folder'])
    MEMORY = shared_memory.SharedMemory(create=True, size=100, name=name)
    MEMORY.buf[0] = 1
    return MEMORY.size
""",
    "an executor that is not shut down": """
import concurrent.futures, multiprocessing, time
def work(path):
    time.sleep(0.2)
    with open(path, 'w') as file:
        file.write('done')
def run(data, params):
    global EXECUTOR
    context = multiprocessing.get_context('fork')
    EXECUTOR = concurrent.futures.ProcessPoolExecutor(1, mp_context=context)
    EXECUTOR.submit(work, data['folder'] + '/done')
""",
    "os.fork": """
import os, sys
def run(data, params):
    if os.fork() == 0:
        os.write(1, b'in a child\\n')
        os._exit(7)
    _, status = os.wait()
    return os.WEXITSTATUS(status)
""",
    "os.fork with a child that exits as usual": """
import atexit, os, sys
def run(data, params):
    atexit.register(lambda: os.write(1, b'an exit handler\\n'))
    if os.fork() == 0:
        global FILE
        FILE = open(data['folder'] + '/child', 'w')
        FILE.write('by a child')
        sys.exit(7)
    _, status = os.wait()
    return os.WEXITSTATUS(status)
""",
    "os.fork with a child that raises": """
import os
def run(data, params):
    if os.fork() == 0:
        raise ValueError('in a child')
    _, status = os.wait()
    return os.WEXITSTATUS(status)
""",
    "os.fork with a child that is a thread's": """
import os, threading
def work(codes):
    if os.fork() == 0:
        os.write(1, b'in a child of a thread')
        os._exit(3)
    codes.append(os.WEXITSTATUS(os.wait()[1]))
def run(data, params):
    codes = []
    thread = threading.Thread(target=work, args=(codes,))
    thread.start()
    thread.join()
    return codes
""",
    "os.posix_spawn and os.system": """
import os, sys
def run(data, params):
    pid = os.posix_spawn('/bin/sh', ['sh', '-c', 'echo spawned; exit 3'], os.environ)
    code = os.WEXITSTATUS(os.waitpid(pid, 0)[1])
    return [code, os.system('echo by a shell; exit 4') >> 8, os.popen('echo read').read()]
""",
    "os.exec": """
import os
def run(data, params):
    os.execv('/bin/sh', ['sh', '-c', 'echo another program; exit 6'])
""",
    "subprocess": """
import subprocess, sys
def run(data, params):
    scripts = ('echo said', 'echo warned >&2; exit 2', 'cat')
    ran = [subprocess.run(['/bin/sh', '-c', each]) for each in scripts]
    read = subprocess.run([sys.executable, '-c', 'print(input())'], input='given', text=True, stdout=-1)
    return [*[each.returncode for each in ran], read.stdout]
""",
    "a subprocess of Python": """
import subprocess, sys
CODE = "import sys, os; print(sys.flags, file=sys.stderr); print(sys.stdout.encoding, sys.stdout.errors)"
def run(data, params):
    subprocess.run([sys.executable, '-s', '-c', CODE], check=True)
""",
    "what it inherits": """
import os, resource, signal, sys
LIMITS = ('CORE', 'CPU', 'DATA', 'FSIZE', 'NOFILE', 'STACK', 'AS')
def run(data, params):
    handlers = {number: str(signal.getsignal(number)) for number in signal.valid_signals()}
    return {
        'umask': os.umask(0o22),
        'limits': [resource.getrlimit(getattr(resource, 'RLIMIT_' + name)) for name in LIMITS],
        'handlers': {number: text.split(' at ')[0] for number, text in handlers.items()},
        'blocked': sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        'niceness': os.nice(0),
        'user': os.getuid(),
        'switch interval': sys.getswitchinterval(),
        'recursion limit': sys.getrecursionlimit(),
    }
""",
}
_METHODS = ("fork", "spawn", "forkserver")
PROGRAMS = {
    **{
        f"{name}, by {method}": program.replace("METHOD", method)
        for method in _METHODS
        for name, program in _BY_METHOD.items()
    },
    **_OTHERS,
}
