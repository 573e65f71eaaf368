"""What the kernel takes from a process that decodes: Landlock for files, seccomp for everything else.

Both are plain system calls, made here without a library, so that every install has them. References:
https://docs.kernel.org/userspace-api/landlock.html and https://docs.kernel.org/userspace-api/seccomp_filter.html.
The numbers of the system calls are those of Linux 6.18, in arch/x86/entry/syscalls/syscall_64.tbl and
include/uapi/asm-generic/unistd.h.
"""

import contextlib
import ctypes
import errno
import os
import platform
import stat
import struct
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_NO_NEW_PRIVILEGES = 38  # PR_SET_NO_NEW_PRIVS
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # on every architecture
_ALL_THREADS = 1  # SECCOMP_FILTER_FLAG_TSYNC

_EXECUTE, _WRITE, _READ, _LIST = (1 << bit for bit in range(4))
_CHANGE = sum(1 << bit for bit in range(4, 13))  # making and removing files and folders of any kind
_REFER, _TRUNCATE, _DEVICES = 1 << 13, 1 << 14, 1 << 15  # since versions 2, 3 and 5 of Landlock
_OF_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE | _DEVICES
_TCP, _SCOPES = 0b11, 0b11  # since versions 4 and 6: bind and connect; abstract sockets and signals

_SYSTEM = (
    *("/usr", "/lib", "/lib64", "/nix/store", "/etc/ld.so.cache", "/etc/localtime", "/etc/ssl/openssl.cnf"),
    *("/dev/null", "/dev/urandom", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/self/cgroup"),
    *("/proc/self/maps", "/proc/self/statm", "/proc/self/status", "/sys/devices/system", "/sys/fs/cgroup"),
)
"""What Python and its libraries read of the system."""


@dataclass(frozen=True, slots=True)
class _Machine:
    """One architecture: how the kernel names it, and its numbers of the system calls."""

    audit: int
    seccomp: int
    clone: int
    clone3: int
    other: int | None
    """The first number of another set of calls that the kernel takes from the same process."""
    denied: tuple[int, ...]


_BOTH = (
    *(424, 434, 438),  # pidfd_send_signal, pidfd_open, pidfd_getfd
    *(425, 426, 427),  # io_uring
    *(428, 429, 430, 431, 432, 433, 442),  # mounts
    *(440, 448),  # process_madvise, process_mrelease
    *(452, 463, 466),  # fchmodat2, setxattrat, removexattrat
)
_MACHINES: Mapping[str, _Machine] = {
    "x86_64": _Machine(
        audit=0xC000003E,
        seccomp=317,
        clone=56,
        clone3=435,
        other=0x40000000,
        denied=(
            *(41, 42, 43, 44, 49, 50, 53, 288, 307),  # sockets
            *(57, 58, 59, 322, 101, 310, 311),  # fork, vfork, execve, execveat, ptrace, process_vm_*
            *(321, 298, 323, 248, 249, 250),  # bpf, perf_event_open, userfaultfd, keys
            *(
                272,
                308,
                165,
                166,
                155,
                161,
                304,
            ),  # unshare, setns, mount, umount, pivot_root, chroot, open_by_handle_at
            *(90, 91, 268, 92, 93, 94, 260),  # chmod, chown
            *(132, 235, 261, 280, 188, 189, 190, 197, 198, 199),  # times and attributes of files
            *(175, 313, 176, 246, 320, 169, 167, 168),  # modules, kexec, reboot, swap
            *(29, 30, 31, 64, 68, 69, 240, 241),  # shared memory and queues that outlive a process
            *_BOTH,
        ),
    ),
    "aarch64": _Machine(
        audit=0xC00000B7,
        seccomp=277,
        clone=220,
        clone3=435,
        other=None,
        denied=(
            *(198, 199, 200, 201, 202, 203, 206, 242, 269),
            *(221, 281, 117, 270, 271),
            *(280, 241, 282, 217, 218, 219),
            *(97, 268, 40, 39, 41, 51, 265),
            *(52, 53, 54, 55),
            *(88, 5, 6, 7, 14, 15, 16),
            *(105, 273, 106, 104, 294, 142, 224, 225),
            *(194, 195, 196, 190, 186, 187, 180, 181),
            *_BOTH,
        ),
    ),
}


def missing() -> tuple[str, ...]:
    """Return one sentence for each thing that `confine` cannot take from a process on this system."""
    if sys.platform != "linux":
        return ("Decoders have limits of time, but keep network and files: blocking these takes Linux.",)
    told = []
    if _landlock_version() < 1:
        told.append("Decoders could write files: the kernel has no Landlock (Linux 5.13 or later, and switched on).")
    if platform.machine() not in _MACHINES:
        told.append(f"Decoders could use the network: there is no seccomp filter for {platform.machine()}.")
    return tuple(told)


def confine(readable: Sequence[str | Path] | None = None) -> None:
    """Take from this process, for good, all that decoding does not need.

    That is: making sockets, connecting, starting programs and processes, making, changing and removing files, signals
    to others, and core files. Files that are open stay usable, `/dev/null` included. Threads that run already keep the
    right to write files, so this comes before there are any. What the system cannot do is left out: see `missing`.

    Args:
        readable: Files and folders that may be read, beside what Python and its libraries are made of; `None` for all.

    Raises:
        OSError: The kernel has these means and refuses them.
    """
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    version = _landlock_version() if sys.platform == "linux" else 0
    if version < 1:  # Then no file can grow, at least.
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if sys.platform != "linux":
        return
    # Without this, neither is for users without rights; with it, no program gives a process more than it has.
    _check(_libc().prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    if version >= 1:
        _restrict_files(version, readable)
    if machine := _MACHINES.get(platform.machine()):
        _filter_calls(machine)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: object) -> int:
    return int(_libc().syscall(ctypes.c_long(number), *arguments))


def _check(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"The kernel does not confine this process: {os.strerror(code)}")
    return result


def _landlock_version() -> int:
    """Return which version of Landlock the kernel has; below 1 where it has none."""
    return _call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1)) if sys.platform == "linux" else 0


def _restrict_files(version: int, readable: Sequence[str | Path] | None) -> None:
    files = _EXECUTE | _WRITE | _CHANGE
    files |= (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0) | (_DEVICES if version >= 5 else 0)
    if readable is not None:
        files |= _READ | _LIST
    # Older kernels know the first fields alone, and refuse those that they do not know.
    fields = (files, _TCP, _SCOPES)[: 3 if version >= 6 else 2 if version >= 4 else 1]
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    rules = _check(_call(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0)))
    try:
        _allow(rules, "/dev/null", files & _WRITE)
        if readable is not None:
            for path in {*_SYSTEM, *_python(), *map(str, readable)}:
                _allow(rules, path, _READ | _LIST)
        _check(_call(_RESTRICT_SELF, ctypes.c_int(rules), ctypes.c_uint32(0)))
    finally:
        os.close(rules)


def _python() -> Iterator[str]:
    """Yield the folders that this Python and its packages are in."""
    yield from filter(None, sys.path)
    yield from sysconfig.get_paths().values()
    yield from (sys.prefix, sys.base_prefix)


def _allow(rules: int, path: str, rights: int) -> None:
    """Except a file or folder, and all below it, where it is there."""
    with contextlib.suppress(OSError):
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)  # type: ignore[attr-defined,unused-ignore]
        try:
            if not stat.S_ISDIR(os.fstat(place).st_mode):
                rights &= _OF_FILES
            rule = struct.pack("=Qi", rights, place)
            _check(_call(_ADD_RULE, ctypes.c_int(rules), ctypes.c_int(1), rule, ctypes.c_uint32(0)))
        finally:
            os.close(place)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def _filter_calls(machine: _Machine) -> None:
    code = b"".join(_assemble(machine))
    program = _Program(len(code) // 8, code)
    _check(_call(machine.seccomp, ctypes.c_uint(1), ctypes.c_uint(_ALL_THREADS), ctypes.byref(program)))


def _assemble(machine: _Machine) -> Iterable[bytes]:
    """Return a filter in BPF, 8 bytes an instruction: see linux/filter.h and linux/seccomp.h."""
    load, equal, at_least, any_bit, back = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, kill, refuse, unknown = 0x7FFF0000, 0x80000000, 0x00050000 | errno.EACCES, 0x00050000 | errno.ENOSYS

    def one(what: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("=HBBI", what, yes, no, value)

    yield one(load, 4)  # the architecture of this call
    yield one(equal, machine.audit, 1, 0)
    yield one(back, kill)
    yield one(load, 0)  # its number
    if machine.other is not None:
        yield one(at_least, machine.other, 0, 1)
        yield one(back, unknown)
    # It passes its flags where no filter can look; C libraries then take the older call.
    yield one(equal, machine.clone3, 0, 1)
    yield one(back, unknown)
    for number in machine.denied:
        yield one(equal, number, 0, 1)
        yield one(back, refuse)
    # Threads are made as before, and processes are not.
    yield one(equal, machine.clone, 0, 4)
    yield one(load, 16)  # the lower half of its first argument
    yield one(any_bit, 0x10000, 1, 0)  # CLONE_THREAD
    yield one(back, refuse)
    yield one(back, allow)
    yield one(back, allow)


def stand_back(niceness: int) -> None:
    """Let others that want the same CPU go first.

    Args:
        niceness: From 0 to 19.
    """
    if sys.platform != "win32":
        os.nice(niceness)
    if sys.platform == "linux":
        # Where Linux shares CPUs out among sessions, niceness counts within one alone: so this becomes one of its own.
        with contextlib.suppress(OSError):
            os.setsid()
            Path("/proc/self/autogroup").write_text(str(niceness))
