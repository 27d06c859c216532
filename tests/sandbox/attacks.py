"""What hostile programs try, one property an attack: network, files, processes, kernel, resources.

An attack has succeeded where it prints a line that begins with REACHED, prints the secret, or leaves a
mark outside (see `place.Ground.marks`). The names in capitals are given to it (`place.Ground.names`).
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field

PATHS_SHOW = "Landlock does not hide which paths exist, nor what their metadata say"
ROOT_THREADS = "the kernel limits the number of threads of no process whose user is root"

PRELUDE = """
import ctypes, errno, glob, os, resource, signal, socket, struct, sys, threading, time
print('FOLDER', os.getcwd(), flush=True)
def call(name, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(ctypes.c_long(NR[name]), *[
        ctypes.c_void_p(a) if isinstance(a, int) else a for a in arguments])
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result
loader = (glob.glob('/lib64/ld-linux*') + glob.glob('/lib/ld-linux*') + ['/nowhere'])[0]
def reached(what=''):
    print('REACHED', what, flush=True)
"""


@dataclass(frozen=True)
class Attack:
    """One attempt.

    Args:
        name: what it tries.
        code: a program.
        control: why it is not run outside of the sandbox to see it succeed there; "" where it is.
        needs_root: only root's succeeds outside.
        processes: whether it is also run as a program that may start processes (unit tests).
        only_processes: whether it is run as such a program alone.
        weaker: levels ("root landlock": root's alone) that do not stop it, with the reason.
        timeout: whether it must be ended by its time limit.
        memory_mb: its limit.
        during: what the tests' side does meanwhile: "connect" to TCP port LISTEN.
    """

    name: str
    code: str
    control: str = ""
    needs_root: bool = False
    processes: bool = False
    only_processes: bool = False
    weaker: dict[str, str] = field(default_factory=dict)
    timeout: bool = False
    memory_mb: int = 256
    during: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "code", textwrap.dedent(self.code).strip("\n"))


HARM = "it would harm the machine that runs the tests"
NETWORK = [
    Attack(
        "tcp",
        "socket.create_connection(('127.0.0.1', TCP), 1)\nreached()",
        processes=True,
    ),
    Attack(
        "tcp over ipv6",
        """
            socket.create_connection(('::1', TCP6), 1)
            reached()
            """,
        processes=True,
    ),
    Attack(
        "udp",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', UDP))",
        processes=True,
    ),
    Attack(
        "dns query",
        r"""
            query = b'\1\2\1\0\0\1\0\0\0\0\0\0\7example\3org\0\0\1\0\1'
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.connect(('127.0.0.1', UDP))
            s.send(query)
            """,
        processes=True,
    ),
    Attack("resolve a name", "reached(socket.getaddrinfo('localhost', 80)[0][4])", processes=True),
    Attack(
        "unix socket by path",
        "s = socket.socket(socket.AF_UNIX)\ns.connect(UNIX_STREAM)\nreached()",
        processes=True,
    ),
    Attack(
        "unix datagram by path",
        "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'x', UNIX_DATAGRAM)",
        processes=True,
    ),
    Attack(
        "unix datagram by path from a socket pair",
        """
            a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            a.sendto(b'x', UNIX_DATAGRAM)
            """,
        control="a connected socket sends nowhere else on some kernels",
        processes=True,
    ),
    Attack(
        "abstract socket",
        "s = socket.socket(socket.AF_UNIX)\ns.connect(ABSTRACT_STREAM)\nreached()",
        processes=True,
    ),
    Attack(
        "abstract datagram",
        "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'x', ABSTRACT_DATAGRAM)",
        processes=True,
    ),
    Attack(
        "netlink",
        """
            s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
            s.send(struct.pack('=IHHIIBxHII4x', 32, 18, 0x301, 1, 0, 0, 0, 0, 0)[:32])
            reached(len(s.recv(65536)))
            """,
        processes=True,
    ),
    Attack(
        "interfaces of the machine",
        "reached(socket.if_nameindex())",
        processes=True,
    ),
    Attack(
        "raw socket",
        "socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)\nreached()",
        needs_root=True,
        processes=True,
    ),
    Attack(
        "packet socket",
        "socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3)\nreached()",
        needs_root=True,
        processes=True,
    ),
    Attack(
        "sockets of rare families",
        # X25, AX25, KEY, NETLINK, PACKET, RDS, CAN, TIPC, BLUETOOTH, ALG, VSOCK, KCM, XDP
        """
            for family in (9, 3, 15, 16, 17, 21, 29, 30, 31, 38, 40, 41, 44):
                for kind in (1, 2, 3, 5):
                    try:
                        socket.socket(family, kind, 0)
                    except OSError:
                        continue
                    reached((family, kind))
            """,
        processes=True,
    ),
    Attack(
        "serve outside connections",
        """
            s = socket.create_server(('', LISTEN))
            s.settimeout(0.7)
            s.accept()
            reached()
            """,
        processes=True,
        during="connect",
    ),
]

FILES = [
    Attack("read the home folder", "print(open(TOKEN).read())", processes=True),
    Attack("list the home folder", "reached(os.listdir(HOME))"),
    Attack(
        "see that a file exists", "reached(os.stat(TOKEN).st_size)", weaker={"landlock": PATHS_SHOW}
    ),
    Attack(
        "read where a link leads",
        "reached(os.readlink('/proc/self/exe'))",
        weaker={"landlock": PATHS_SHOW},
    ),
    Attack("environment", "print(os.environ, flush=True)"),
    Attack("environment from /proc", "print(open('/proc/self/environ').read())", processes=True),
    Attack(
        "environment of the parent",
        "print(open(f'/proc/{os.getppid()}/environ').read())",
        processes=True,
    ),
    Attack(
        "environment on the stack",
        # Where a process begins its stack the kernel has put its environment.
        """
            libc = ctypes.CDLL(None)
            libc.getauxval.restype = ctypes.c_void_p
            end = libc.getauxval(31)  # AT_EXECFN, behind the environment
            print(ctypes.string_at(end - 2000, 2000).decode('latin-1'))
            """,
    ),
    Attack("environment of another process", "print(open(f'/proc/{VICTIM}/environ').read())"),
    Attack("arguments of another process", "reached(open(f'/proc/{VICTIM}/cmdline').read())"),
    Attack("list of processes", "reached([n for n in os.listdir('/proc') if n.isdigit()][:3])"),
    Attack("own memory as a file", "open('/proc/self/mem', 'rb')\nreached()"),
    Attack("own status", "reached(open('/proc/self/status').readline())"),
    Attack("open files by /proc", "reached(os.listdir('/proc/self/fd'))"),
    Attack("root folder by /proc", "reached(os.listdir(f'/proc/{VICTIM}/root'))"),
    Attack("own root by /proc", "print(open('/proc/self/root' + TOKEN).read())"),
    Attack("settings of the kernel", "reached(open('/proc/sys/kernel/ostype').read())"),
    Attack("devices by /sys", "reached(os.listdir('/sys'))"),
    Attack(
        "the repository",
        "reached(open(REPOSITORY + '/snakeval/errors.py').readline())",
    ),
    Attack("/etc/shadow", "reached(len(open('/etc/shadow').read()))", needs_root=True),
    Attack("/etc/passwd", "reached(len(open('/etc/passwd').read()))"),
    Attack(
        "list the root folder",
        "reached(set(os.listdir('/')) & {'etc', 'boot', 'proc', 'sys'} or 1 / 0)",
    ),
    Attack(
        "open a folder's parents", "reached(os.listdir('../..') and open('/etc/hostname').read())"
    ),
    Attack(
        "other devices",
        """
            harmless = {'null', 'zero', 'random', 'urandom'}
            for name in set(['full', 'tty', 'kmsg', 'mem', 'fuse', 'kvm', 'loop-control', 'vda', 'sda',
                             'ptmx', 'net/tun', 'nvidiactl', 'userfaultfd', 'uinput']):
                try:
                    os.open('/dev/' + name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
                except OSError:
                    continue
                reached(name)
            """,
        processes=True,
    ),
    Attack(
        "make a device",
        """
            os.mknod('device', 0o600 | 0o020000, os.makedev(1, 7))
            reached(os.read(os.open('device', os.O_RDONLY), 1))
            """,
        needs_root=True,
        processes=True,
    ),
    Attack("symbolic link out", "os.symlink(TOKEN, 'link')\nprint(open('link').read())"),
    Attack("link to a folder outside", "os.symlink(HOME, 'link')\nreached(os.listdir('link'))"),
    Attack("hard link out", "os.link(TOKEN, 'link')\nprint(open('link').read())", processes=True),
    Attack(
        "hard link from outside in",
        """
            open('a', 'w').close()
            os.link('a', HOME + '/b')
            """,
        control="the folders may lie on two disks",
    ),
    Attack(
        "move a file out",
        """
            open('a', 'w').close()
            os.rename('a', HOME + '/b')
            """,
        control="the folders may lie on two disks",
    ),
    Attack("move a file in", "os.rename(TOKEN, 'a')", control="the folders may lie on two disks"),
    Attack(
        "path race",
        """
            open('mine', 'w').write('x')
            os.symlink(TOKEN, 'theirs')
            os.symlink('mine', 'path')
            over = time.monotonic() + 0.5
            def swap():
                while time.monotonic() < over:
                    for target in ('mine', TOKEN):
                        os.symlink(target, 'next')
                        os.rename('next', 'path')
            threading.Thread(target=swap).start()
            while time.monotonic() < over:
                try:
                    text = open('path').read()
                except OSError:
                    continue
                if text != 'x':
                    print(text)
                    break
            """,
    ),
    Attack("write to the home folder", "open(f'{HOME}/{DAEMON}', 'w').write('x')", processes=True),
    Attack("write to /tmp of the machine", "open(f'/tmp/../tmp/{DAEMON}', 'w').write('x')"),
    Attack("write to /var/tmp", "open(f'/var/tmp/{DAEMON}', 'w').write('x')"),
    Attack("write to /dev/shm", "open(f'/dev/shm/{DAEMON}', 'w').write('x')", processes=True),
    Attack(
        "make a folder outside",
        """
            os.mkdir(f'{PUBLIC}/{DAEMON}')
            os.rmdir(f'{PUBLIC}/{DAEMON}')
            reached()
            """,
    ),
    Attack("remove a file outside", "os.unlink(TOKEN)"),
    Attack("empty a file outside", "os.truncate(TOKEN, 0)"),
    Attack("change modes outside", "os.chmod(TOKEN, 0o666)"),
    Attack("change modes outside by descriptor", "os.fchmod(os.open(PUBLIC, os.O_RDONLY), 0o777)"),
    Attack("change times outside", "os.utime(TOKEN, (1, 1))"),
    Attack("change owners outside", "os.chown(TOKEN, 12345, 12345)\nreached()", needs_root=True),
    Attack(
        "attributes outside",
        """
            os.setxattr(TOKEN, 'user.a', b'x')
            reached()
            """,
        control="not every disk has them",
    ),
    Attack(
        "write to the standard library",
        """
            for path in (os.__file__, os.path.dirname(os.__file__) + '/x.py'):
                try:
                    open(path, 'a').close()
                except OSError:
                    continue
                reached(path)
            """,
        control=HARM,
        processes=True,
    ),
    Attack(
        "change modes of the standard library",
        """
            before = os.stat(os.__file__).st_mode
            os.chmod(os.__file__, before ^ 0o001)
            after = os.stat(os.__file__).st_mode
            os.chmod(os.__file__, before)
            if before != after: reached()
            """,
        control=HARM,
    ),
    Attack(
        "own programs by file handles",
        """
            handle = bytearray(struct.pack('=Ii', 64, 0) + bytes(64))
            buffer = (ctypes.c_char * len(handle)).from_buffer(handle)
            mount = ctypes.c_int()
            call('name_to_handle_at', -100, TOKEN.encode(), buffer, ctypes.byref(mount), 0)
            reached(handle[:8])
            """,
        control="not every disk has them",
        processes=True,
    ),
    Attack(
        "open descriptors",
        """
            for n in range(3, 1024):
                try:
                    os.fstat(n)
                except OSError:
                    continue
                reached(n)
            """,
        control="Python itself has none outside",
    ),
    Attack(
        "name of the machine",
        "reached(1 / (socket.gethostname() == HOSTNAME))",
        weaker={"landlock": "there is no namespace for it"},
    ),
]

# Outside of the sandbox, as root, none of these may do anything: hence the arguments that fail later.
CALLS = {
    # name: (system call, arguments, needs root outside)
    "new user namespace": ("unshare", (0x10000000,), False),
    "new mount namespace": ("unshare", (0x00020000,), True),
    "new network namespace": ("unshare", (0x40000000,), True),
    "enter a namespace": ("setns", (0, 0), False),
    "mount": ("mount", (b"tmpfs", b"/nowhere", b"tmpfs", 0, 0), True),
    "mount anew": ("fsopen", (b"tmpfs", 0), True),
    "unmount": ("umount2", (b"/nowhere", 2), True),
    "another root by pivot_root": ("pivot_root", (b"/nowhere", b"/nowhere"), True),
    "another root by chroot": ("chroot", (b".",), True),
    "keys of the kernel": ("keyctl", (0, -3, 0), False),
    "add a key": ("add_key", (b"user", b"snakeval", 0, 1, -1), False),
    "programs in the kernel by bpf": ("bpf", (0, 0, 0), True),
    "io_uring": ("io_uring_setup", (1, 0), False),
    "userfaultfd": ("userfaultfd", (1,), False),
    "performance counters": ("perf_event_open", (0, 0, -1, -1, 0), False),
    "memory files": ("memfd_create", (b"x", 0), False),
    "secret memory files": ("memfd_secret", (0,), False),
    "shared memory": ("shmget", (1515, 1, 0), False),
    "message queues": ("msgget", (1515, 0), False),
    "semaphores": ("semget", (1515, 1, 0), False),
    "posix message queues": ("mq_open", (b"snakeval", 0, 0, 0), False),
    "watch files by fanotify": ("fanotify_init", (0x200, 0), False),
    "watch files by inotify": ("inotify_init1", (0,), False),
    "no random addresses": ("personality", (0x0040000,), False),
    "another user": ("setresuid", (1, 1, 1), True),
    "another group": ("setgroups", (0, 0), True),
    "messages of the kernel": ("syslog", (10, 0, 0), True),
    "another name of the machine": ("sethostname", (b"x", -1), True),
    "another time": ("clock_settime", (999, 0), False),
    "ports of the processor": ("iopl", (0,), False),
    "another filter of system calls": ("seccomp", (1, 0, 0), False),
    "compare processes": ("kcmp", ("VICTIM", "VICTIM", 0, 0, 0), False),
    "descriptor of another process": ("pidfd_open", ("VICTIM", 0), False),
    "memory of another process": ("process_vm_readv", ("VICTIM", 0, 0, 0, 0, 0), False),
    "write another's memory": ("process_vm_writev", ("VICTIM", 0, 0, 0, 0, 0), False),
    "attach to another process": ("ptrace", (0x4206, "VICTIM", 0, 0), False),
    "be traced": ("ptrace", (0, 0, 0, 0), False),
    "queue a signal for another process": ("rt_sigqueueinfo", ("VICTIM", 18, 0), False),
}
RARE = (
    "iopl",
    "userfaultfd",
    "memfd_secret",
    "io_uring_setup",
    "perf_event_open",
    "keyctl",
    "add_key",
)
_REFUSED = "(errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ESRCH)"


def _call(name: str, call: str, arguments: tuple[object, ...], needs_root: bool) -> Attack:
    """Return the attack that makes a system call; one that goes wrong otherwise has been let through."""
    shown = ", ".join(
        str(argument) if argument == "VICTIM" else repr(argument) for argument in arguments
    )
    code = (
        f"if {call!r} in NR:\n"
        "    try:\n"
        f"        call({call!r}, {shown})\n"
        "    except OSError as error:\n"
        f"        if error.errno not in {_REFUSED}:\n"
        "            reached(error)\n"
        "    else:\n"
        "        reached()"
    )
    control = "not every kernel has it" if call in RARE else ""
    return Attack(f"call: {name}", code, control, needs_root, processes=True)


KERNEL = [_call(name, *rest) for name, rest in CALLS.items()] + [
    Attack(
        "capabilities",
        """
            header = struct.pack('=Ii', 0x20080522, 0)
            data = ctypes.create_string_buffer(24)
            ctypes.CDLL(None).capget(header, data)
            held = struct.unpack('=6I', data.raw)
            if any(held): reached(held)
            """,
        needs_root=True,
        processes=True,
    ),
    Attack(
        "new privileges",
        "if ctypes.CDLL(None).prctl(39, 0, 0, 0, 0) != 1: reached()",
        processes=True,
    ),
    Attack(
        "terminal input",
        (
            "import fcntl\n"
            "for n in range(3):\n"
            "    try:\n"
            "        fcntl.ioctl(n, 0x5412, b'x')\n"
            "    except OSError as error:\n"
            f"        if error.errno not in {_REFUSED}: reached(error)\n"
            "    else:\n"
            "        reached()"
        ),
        processes=True,
    ),
    Attack(
        "signals by a file's owner",
        """
            import fcntl
            a, b = os.pipe()
            fcntl.fcntl(a, fcntl.F_SETOWN, VICTIM)
            reached()
            """,
        processes=True,
    ),
]

_DAEMON = (
    "def become_daemon():\n"
    "    ctypes.CDLL(None).prctl(15, DAEMON.encode(), 0, 0, 0)\n"
    "    for n in range(3):\n"
    "        os.close(n)\n"
    "    time.sleep(100)\n"
    "    os._exit(0)\n"
)
PROCESSES = [
    Attack("kill another process", "os.kill(VICTIM, signal.SIGKILL)", processes=True),
    Attack("signal another process", "os.kill(VICTIM, 0)\nreached()", processes=True),
    Attack("kill a thread of another process", "call('tgkill', VICTIM, VICTIM, 9)", processes=True),
    Attack(
        "kill by descriptor", "signal.pidfd_send_signal(os.pidfd_open(VICTIM), 9)", processes=True
    ),
    Attack("kill all processes", "os.kill(-1, signal.SIGKILL)", control=HARM, processes=True),
    Attack("kill the process group", "os.kill(0, signal.SIGKILL)", control=HARM, processes=True),
    Attack(
        "kill the parent",
        """
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(0.1)
            os.kill(os.getppid(), 9)
            """,
        control=HARM,
        processes=True,
    ),
    Attack("kill the first process", "os.kill(1, signal.SIGKILL)", control=HARM),
    Attack(
        "read another's memory",
        "open(f'/proc/{VICTIM}/mem', 'rb').read(1)",
        control="there is nothing at address 0",
        processes=True,
    ),
    Attack(
        "see that a process exists",
        "reached(os.getpgid(VICTIM))",
        weaker={"landlock": "there is no namespace for it"},
    ),
    Attack(
        "limits of another process",
        "reached(resource.prlimit(VICTIM, resource.RLIMIT_NOFILE))",
        processes=True,
    ),
    Attack(
        "own limits back up",
        """
            soft, hard = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
            reached()
            """,
        needs_root=True,
        processes=True,
    ),
    Attack(
        "slow another process down",
        """
            os.setpriority(os.PRIO_PROCESS, VICTIM, 19)
            reached()
            """,
        processes=True,
    ),
    Attack(
        "more than its share",
        """
            os.setpriority(os.PRIO_PROCESS, 0, -5)
            reached()
            """,
        needs_root=True,
        processes=True,
    ),
    Attack(
        "another's processors",
        """
            os.sched_setaffinity(VICTIM, os.sched_getaffinity(VICTIM))
            reached()
            """,
        processes=True,
    ),
    Attack(
        "be first in line",
        """
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
            reached()
            """,
        needs_root=True,
        processes=True,
    ),
    Attack(
        "start a process",
        "if os.fork() == 0:\n    reached()\n    os._exit(0)\nos.wait()",
    ),
    Attack(
        "start a process without a copy",
        """
            pid = os.posix_spawn(loader, [loader, '--version'], {})
            os.waitpid(pid, 0)
            reached()
            """,
    ),
    Attack(
        "become another program",
        """
            sys.stdout.flush()
            os.execv(loader, ['REACH' 'ED', '--help'])
            """,
    ),
    Attack(
        "run a program of the machine",
        """
            import subprocess
            reached(subprocess.run(['/bin/ls', '/'], capture_output=True, check=True).stdout[:9])
            """,
        processes=True,
    ),
    Attack(
        "fork bomb",
        """
            children = []
            try:
                while len(children) < 101:
                    pid = os.fork()
                    if pid == 0:
                        time.sleep(5)
                        os._exit(0)
                    children.append(pid)
                reached(len(children))
            finally:
                for pid in children: os.kill(pid, 9)
                for pid in children: os.waitpid(pid, 0)
            """,
        processes=True,
    ),
    Attack(
        "endless fork bomb",
        """
            while True:
                try:
                    os.fork()
                except OSError:
                    pass
            """,
        control=HARM,
        only_processes=True,
        timeout=True,
    ),
    Attack(
        "thread bomb",
        """
            threading.stack_size(32768)
            over = threading.Event()
            started = 0
            try:
                while started < 301:
                    threading.Thread(target=over.wait).start()
                    started += 1
                reached(started)
            finally:
                over.set()
            """,
        processes=True,
        weaker={"root landlock": ROOT_THREADS},
    ),
    Attack("daemon", _DAEMON + "if os.fork() == 0: become_daemon()", control="", processes=True),
    Attack(
        "daemon of a session of its own",
        _DAEMON + ("if os.fork() == 0:\n    os.setsid()\n    become_daemon()"),
        processes=True,
    ),
    Attack(
        "daemon by double fork",
        _DAEMON
        + (
            "if os.fork() == 0:\n"
            "    os.setsid()\n"
            "    if os.fork() == 0: become_daemon()\n"
            "    os._exit(0)"
        ),
        processes=True,
    ),
    Attack(
        "daemon that ignores signals",
        _DAEMON
        + (
            "for n in range(1, 65):\n"
            "    try:\n"
            "        signal.signal(n, signal.SIG_IGN)\n"
            "    except (OSError, ValueError):\n"
            "        pass\n"
            "if os.fork() == 0: become_daemon()"
        ),
        processes=True,
    ),
    Attack(
        "daemon of an orphan",
        _DAEMON
        + (
            "if os.fork() == 0:\n"
            "    if os.fork() == 0: become_daemon()\n"
            "    os._exit(0)\n"
            "os._exit(0)"
        ),
        processes=True,
    ),
    Attack(
        "daemon left at the time limit",
        _DAEMON + ("if os.fork() == 0:\n    os.setsid()\n    become_daemon()\ntime.sleep(100)"),
        control="it would take its time",
        only_processes=True,
        timeout=True,
    ),
]

LONG = "it would run for ever"
RESOURCES = [
    Attack("500 MB of text", "x = 'x' * 500_000_000\nreached(len(x))"),
    Attack(
        "2 GB of memory",
        """
            x = bytearray(2 << 30)
            x[::4096] = bytes(len(x) // 4096)
            reached()
            """,
        control=HARM,
        memory_mb=1024,
        processes=True,
    ),
    Attack(
        "2 GB of shared memory",
        """
            import mmap
            x = mmap.mmap(-1, 2 << 30)
            x[::4096] = bytes(len(x) // 4096)
            reached()
            """,
        control=HARM,
        memory_mb=1024,
        processes=True,
    ),
    Attack(
        "2 GB piece by piece",
        """
            x = []
            while len(x) < 2048: x.append(bytes([1]) * (1 << 20))
            reached()
            """,
        control=HARM,
    ),
    Attack(
        "memory for the stack",
        """
            resource.setrlimit(resource.RLIMIT_STACK, (-1, -1))
            threading.stack_size(400 << 20)
            t = threading.Thread(target=reached)
            t.start()
            t.join()
            """,
        control="there is less memory on some machines",
    ),
    Attack(
        "fill the disk",
        """
            for n in range(600):
                open(str(n), 'wb').write(bytes(1 << 20))
                time.sleep(0.002)
            reached()
            """,
        control=HARM,
        processes=True,
    ),
    Attack(
        "fill the disk with removed files",
        """
            kept = []
            for n in range(600):
                kept.append(open('x', 'wb', buffering=0))
                os.unlink('x')
                if n % 8 == 0: kept[-1].write(bytes(8 << 20))
                if n > 200: kept.pop(1).close()
                time.sleep(0.002)
            reached()
            """,
        control=HARM,
    ),
    Attack(
        "fill the disk beyond any path",
        """
            for n in range(30):
                os.mkdir('d' * 200)
                os.chdir('d' * 200)
            for n in range(600):
                open(str(n), 'wb').write(bytes(1 << 20))
                time.sleep(0.002)
            reached()
            """,
        control=HARM,
    ),
    Attack(
        "2,000 folders deep",
        """
            for n in range(2000):
                os.mkdir('d')
                os.chdir('d')
            """,
        control="it does no harm outside",
    ),
    Attack(
        "a folder that cannot be listed",
        """
            os.mkdir('d')
            open('d/x', 'w').close()
            os.mkdir('e', 0o300)
            open('e/x', 'w').close()
            os.chmod('d', 0)
            """,
        control="it does no harm outside",
    ),
    Attack(
        "100,000 files",
        """
            for n in range(100_000):
                open(str(n), 'w').close()
            reached()
            """,
        control=HARM,
        processes=True,
    ),
    Attack(
        "a huge file",
        """
            f = open('x', 'wb')
            f.seek(1 << 30)
            f.write(b'x')
            f.flush()
            reached()
            """,
    ),
    Attack("a huge file by truncating", "f = open('x', 'wb')\nf.truncate(1 << 40)\nreached()"),
    Attack(
        "a huge file by reserving",
        """
            f = open('x', 'wb')
            os.posix_fallocate(f.fileno(), 0, 1 << 28)
            reached()
            """,
    ),
    Attack(
        "open files",
        """
            kept = []
            for n in range(300): kept.append(open('/dev/null'))
            reached()
            """,
    ),
    Attack(
        "deep recursion",
        """
            def f(n): return f(n + 1)
            f(0)
            reached()
            """,
        control="Python itself stops it",
    ),
    Attack(
        "stack overflow in C",
        """
            sys.setrecursionlimit(10**9)
            x = []
            for _ in range(300_000): x = [x]
            repr(x)
            reached()
            """,
        control="it ends the process",
        memory_mb=1024,
    ),
    Attack(
        "read where nothing is",
        """
            ctypes.string_at(1)
            reached()
            """,
        control="it ends the process",
    ),
    Attack(
        "huge integers",
        """
            x = 3 ** (3 ** 30)
            reached()
            """,
        control=LONG,
        timeout=True,
        memory_mb=1024,
    ),
    Attack(
        "regular expression without end",
        """
            import re
            re.match('(a+)+$', 'a' * 50 + 'b')
            reached()
            """,
        control=LONG,
        timeout=True,
    ),
    Attack("endless loop", "while True: pass", control=LONG, timeout=True, processes=True),
    Attack(
        "endless loop that ignores all signals",
        """
            for n in range(1, 65):
                try:
                    signal.signal(n, signal.SIG_IGN)
                except (OSError, ValueError):
                    pass
            while True: pass
            """,
        control=LONG,
        timeout=True,
    ),
    Attack(
        "endless loop that blocks all signals",
        """
            signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
            while True: pass
            """,
        control=LONG,
        timeout=True,
    ),
    Attack("endless sleep", "time.sleep(10**6)", control=LONG, timeout=True),
    Attack(
        "stop itself",
        """
            os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(10**6)
            """,
        control=LONG,
        timeout=True,
    ),
    Attack(
        "a thread that never ends",
        "threading.Thread(target=time.sleep, args=[10**6]).start()",
        control=LONG,
        timeout=True,
    ),
    Attack(
        "endless end",
        """
            import atexit
            atexit.register(time.sleep, 10**6)
            """,
        control=LONG,
        timeout=True,
    ),
    Attack(
        "close everything and stay",
        """
            os.closerange(0, 100)
            time.sleep(10**6)
            """,
        control=LONG,
        timeout=True,
    ),
    Attack(
        "endless output",
        "while True: os.write(1, b'x' * 65536)",
        control=LONG,
        timeout=True,
        processes=True,
    ),
    Attack("endless errors", "while True: os.write(2, b'x' * 65536)", control=LONG, timeout=True),
    Attack(
        "all processors",
        "for _ in range(8): threading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()",
        control=LONG,
        timeout=True,
    ),
]

ATTACKS = [*NETWORK, *FILES, *KERNEL, *PROCESSES, *RESOURCES]
