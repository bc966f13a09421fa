"""Programs with threads, asyncio and contexts."""

from __future__ import annotations

PROGRAMS = {
    "threads that print at the end": """
import threading, time
def run(data, params):
    def work(number):
        time.sleep(0.05 * number)
        print('thread', number)
    for number in range(1, 4):
        threading.Thread(target=work, args=(number,)).start()
    print('returns')
""",
    "a thread that starts another at the end": """
import threading, time
def run(data, params):
    def first():
        time.sleep(0.1)
        thread = threading.Thread(target=print, args=('the second',))
        thread.start()
    threading.Thread(target=first).start()
    return 1
""",
    "a pool of threads that is not shut down": """
import concurrent.futures, time
def work(number):
    time.sleep(0.05)
    print('works', number)
def run(data, params):
    global POOL
    POOL = concurrent.futures.ThreadPoolExecutor(1)
    for number in range(3):
        POOL.submit(work, number)
    return 1
""",
    "a timer, and a daemon that prints": """
import threading, time
def run(data, params):
    def talk():
        print('a daemon')
        while True:
            time.sleep(0.01)
    threading.Thread(target=talk, daemon=True).start()
    threading.Timer(0.2, print, ['the timer']).start()
""",
    "a thread of _thread": """
import _thread, time
def run(data, params):
    def work():
        time.sleep(600)
    _thread.start_new_thread(work, ())
    return 1
""",
    "threads of a multiprocessing pool": """
import multiprocessing.pool
def run(data, params):
    global POOL
    POOL = multiprocessing.pool.ThreadPool(2)
    return POOL.map(len, ['a', 'bc'])
""",
    "tasks that are left": """
import asyncio
async def forever():
    try:
        await asyncio.sleep(600)
    finally:
        print('cancelled')
async def run(data, params):
    global TASK
    TASK = asyncio.create_task(forever())
    await asyncio.sleep(0)
    return 'returned'
""",
    "a loop that is left open": """
import asyncio
async def never():
    await asyncio.sleep(600)
def run(data, params):
    global LOOP, TASK
    LOOP = asyncio.new_event_loop()
    TASK = LOOP.create_task(never(), name='never')
    LOOP.run_until_complete(asyncio.sleep(0))
    return 1
""",
    "a coroutine that nobody awaits": """
async def never():
    pass
def run(data, params):
    global KEPT
    never()
    KEPT = never()
    return 1
""",
    "an exception of a task": """
import asyncio
async def fails():
    raise ValueError('in a task')
async def run(data, params):
    task = asyncio.create_task(fails(), name='fails')
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
    return 1
""",
    "an exception of an asynchronous function": """
async def inner():
    raise ValueError('awaited')
async def run(data, params):
    await inner()
""",
    "a cancelled asynchronous function": """
import asyncio
async def run(data, params):
    asyncio.current_task().cancel()
    await asyncio.sleep(0)
""",
    "an asynchronous generator that is left": """
import asyncio
async def steps():
    try:
        yield 1
        yield 2
    finally:
        print('left')
async def run(data, params):
    global STEPS
    STEPS = steps()
    return await STEPS.__anext__()
""",
    "processes and threads of asyncio": """
import asyncio
async def run(data, params):
    process = await asyncio.create_subprocess_exec('/bin/echo', 'said', stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    print(asyncio.current_task().get_name(), len(asyncio.all_tasks()))
    return [said.decode(), process.returncode, await asyncio.to_thread(len, 'four')]
""",
    "another awaitable": """
import asyncio
class Awaited:
    def __await__(self):
        yield from asyncio.sleep(0).__await__()
        return 'by its own method'
async def outer():
    return await Awaited()
def run(data, params):
    return outer()
""",
    "context variables": """
import contextvars, threading
VARIABLE = contextvars.ContextVar('variable', default='nothing')
def run(data, params):
    print(len(contextvars.copy_context()), VARIABLE.get())
    VARIABLE.set('set')
    seen = []
    thread = threading.Thread(target=lambda: seen.append(VARIABLE.get()))
    thread.start()
    thread.join()
    return [*seen, contextvars.copy_context().run(VARIABLE.get), threading.current_thread().name]
""",
    "what threads there are": """
import sys, threading
def run(data, params):
    main = threading.current_thread()
    print(main is threading.main_thread(), main.name, main.daemon, main.is_alive(), threading.active_count())
    print(threading.get_ident() == main.ident, len(sys._current_frames()), threading.gettrace())
""",
}
