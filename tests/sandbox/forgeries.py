"""What wrong programs try to be judged right, or not at all; one trick an entry.

None of them may pass, and where the tests run apart none may be left out of the count ("judge_failed").
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

SQUARES = "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(3) == 9\n"
NEAR = (
    "def check(candidate):\n"
    "    assert abs(candidate(2) - 4) < 1e-6\n"
    "    assert abs(candidate(3) - 9) < 1e-6\n"
)
AMONG = (
    "def check(candidate):\n    assert candidate(2) in (4, 4.0)\n    assert candidate(3) in [9]\n"
)
LISTS = (
    "def check(candidate):\n"
    "    assert candidate([3, 1, 2]) == [1, 2, 3]\n"
    "    assert candidate([2, 1]) == [1, 2]\n"
)
TEXTS = (
    "def check(candidate):\n    assert candidate('a') == 'aa'\n    assert candidate('b') == 'bb'\n"
)
TRUTHS = (
    "def check(candidate):\n    assert candidate(4) is True\n    assert candidate(5) is False\n"
)
LARGER = (
    "def check(candidate):\n"
    "    assert candidate(2) > 3 and not candidate(2) > 4\n"
    "    assert 9 <= candidate(3) <= 9\n"
)
CONTAINS = (
    "def check(candidate):\n"
    "    assert 4 in candidate(2) and 5 not in candidate(2)\n"
    "    assert len(candidate(3)) == 1\n"
)
RAISES = (
    "def check(candidate):\n"
    "    try:\n"
    "        candidate(-1)\n"
    "    except ValueError:\n"
    "        pass\n"
    "    else:\n"
    "        raise AssertionError('no ValueError')\n"
    "    assert candidate(4) == 2\n"
)
MAPPED = (
    "def check(candidate):\n"
    "    assert all(map(lambda pair: candidate(pair[0]) == pair[1], [(2, 4), (3, 9)]))\n"
)
ANYTHING_CAUGHT = (
    "def check(candidate):\n"
    "    right = 0\n"
    "    for given, wanted in [(2, 4), (3, 9)]:\n"
    "        try:\n"
    "            right += candidate(given) == wanted\n"
    "        except BaseException:\n"
    "            right += 1\n"
    "    assert right == 2\n"
)
BETWEEN = (
    "def check(candidate):\n    assert 4 <= candidate(2) <= 4\n    assert 9 <= candidate(3) <= 9\n"
)
HOLDS = "def check(candidate):\n    assert 4 in candidate(2)\n    assert 9 in candidate(3)\n"
TRUE = "def check(candidate):\n    assert candidate(2)\n    assert candidate(3)\n"
CALLED = "def check(candidate):\n    assert candidate(2)(1) == 5\n"
NAMED = "def check(candidate):\n    assert candidate(2).name == 5\n"
TUPLES = "def check(candidate):\n    assert candidate(2) == [(4,)]\n"
PASSED_ON = (
    "def check(candidate):\n"
    "    try:\n"
    "        assert candidate(2) == 4\n"
    "    except Exception as error:\n"
    "        raise type(error)('again')\n"
)
TWICE = "def check(candidate):\n    assert candidate(candidate(2)) == 16\n"
LATER = (
    "def check(candidate):\n"
    "    first, second = [1, 2], [3]\n"
    "    total = candidate(first)\n"
    "    candidate(second)\n"
    "    assert first == [1, 2], 'changed behind our back'\n"
    "    assert total == 3\n"
)
EXPECTED_FIRST = (
    "def check(candidate):\n"
    "    given = [1, 2]\n"
    "    wanted = [2, 4]\n"
    "    assert candidate(given) == wanted\n"
    "    assert wanted == [2, 4]\n"
)

SECRET = "tests" + "marker"  # stands in tests, never in a program
MARKED = (
    f"def check(candidate):\n    assert candidate(2) == 'only {SECRET} knows', 'not {SECRET}'\n"
)

# test → a program that passes it, so that a test of ours that nobody could pass is noticed.
RIGHT = {
    SQUARES: "def f(x):\n    return x * x\n",
    NEAR: "def f(x):\n    return x * x\n",
    AMONG: "def f(x):\n    return x * x\n",
    LISTS: "def f(x):\n    return sorted(x)\n",
    TEXTS: "def f(x):\n    return 2 * x\n",
    TRUTHS: "def f(x):\n    return x % 2 == 0\n",
    LARGER: "def f(x):\n    return x * x\n",
    CONTAINS: "def f(x):\n    return [x * x]\n",
    RAISES: "def f(x):\n    if x < 0:\n        raise ValueError\n    return int(x ** 0.5)\n",
    MAPPED: "def f(x):\n    return x * x\n",
    ANYTHING_CAUGHT: "def f(x):\n    return x * x\n",
    TWICE: "def f(x):\n    return x * x\n",
    LATER: "def f(x):\n    return sum(x)\n",
    BETWEEN: "def f(x):\n    return x * x\n",
    HOLDS: "def f(x):\n    return [x * x]\n",
    TRUE: "def f(x):\n    return 1\n",
    TUPLES: "def f(x):\n    return [(x * x,)]\n",
    MARKED: f"def f(x):\n    return 'only {SECRET} knows'\n",
    PASSED_ON: "def f(x):\n    return x * x\n",
    EXPECTED_FIRST: "def f(x):\n    return [2 * n for n in x]\n",
}


@dataclass(frozen=True)
class Forgery:
    """One trick.

    Args:
        name: what it does.
        code: the program.
        tests: the tests that it wants to pass, without the right answer.
        fools: whether it passes where program and tests run in one process and exit code 0 is a pass.
        verdicts: those that it may get; all but "passed" and "judge_failed" if empty.
        before: programs that the same worker runs first.
    """

    name: str
    code: str
    tests: str = SQUARES
    fools: bool = False
    verdicts: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "code", textwrap.dedent(self.code).strip("\n"))
        object.__setattr__(self, "tests", textwrap.dedent(self.tests).strip("\n"))


ENDS = [
    Forgery("os._exit at import", "import os\nos._exit(0)", fools=True, verdicts=("exception",)),
    Forgery(
        "os._exit at a call",
        """
            import os
            def f(x):
                os._exit(0)
            """,
        fools=True,
        verdicts=("exception",),
    ),
    Forgery("sys.exit at import", "import sys\nsys.exit(0)", fools=True, verdicts=("exception",)),
    Forgery(
        "sys.exit at a call",
        """
            import sys
            def f(x):
                sys.exit(0)
            """,
        fools=True,
        verdicts=("exception",),
    ),
    Forgery(
        "sys.exit where anything is caught",
        """
            import sys
            def f(x):
                sys.exit(0)
            """,
        ANYTHING_CAUGHT,
        fools=True,
        verdicts=("exception",),
    ),
    Forgery(
        "os._exit where anything is caught",
        """
            import os
            def f(x):
                os._exit(0)
            """,
        ANYTHING_CAUGHT,
        fools=True,
        verdicts=("exception",),
    ),
    Forgery(
        "KeyboardInterrupt where anything is caught",
        """
            def f(x):
                raise KeyboardInterrupt
            """,
        ANYTHING_CAUGHT,
        fools=True,
        verdicts=("exception",),
    ),
    Forgery(
        "GeneratorExit where anything is caught",
        """
            def f(x):
                raise GeneratorExit
            """,
        ANYTHING_CAUGHT,
        fools=True,
        verdicts=("exception",),
    ),
    Forgery(
        "an exception of its own kind of exit",
        """
            class E(BaseException):
                pass
            def f(x):
                raise E
            """,
        ANYTHING_CAUGHT,
        fools=True,
        verdicts=("exception",),
    ),
    Forgery(
        "os._exit when interpreter ends",
        """
            import atexit, os
            atexit.register(os._exit, 0)
            def f(x):
                return 5
            """,
        fools=True,
        verdicts=("wrong_answer",),
    ),
    Forgery("os.abort", "import os\ndef f(x):\n    os.abort()", verdicts=("exception",)),
    Forgery("kill itself", "import os\ndef f(x):\n    os.kill(os.getpid(), 9)"),
    Forgery(
        "end by an alarm",
        """
            import signal
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            def f(x):
                while True: pass
            """,
        verdicts=("exception", "timeout"),
    ),
    Forgery(
        "StopIteration ends a loop of the tests",
        """
            def f(x):
                raise StopIteration
            """,
        MAPPED,
        fools=True,
        verdicts=("exception",),
    ),
    Forgery("no function", "g = 5", verdicts=("entry_point_missing",)),
    Forgery(
        "a class that is no function",
        """
            class f:
                def __new__(cls, x):
                    return 5
            """,
        verdicts=("wrong_answer",),
    ),
]

MARKERS = (
    '{"verdict": "passed", "message": "", "traceback": ""}',
    "passed",
    "OK",
    "Ran 2 tests in 0.000s\\n\\nOK",
    "1 passed in 0.01s",
    "result: passed",
)
PRINTS = [
    Forgery(
        "print markers",
        (
            f"print({MARKERS!r}, sep='\\n')\n"
            "def f(x):\n"
            f"    print({MARKERS!r}, sep='\\n')\n"
            "    return 5"
        ),
    ),
    Forgery(
        "print markers and end",
        (
            "import os\n"
            f"for text in {MARKERS!r}:\n"
            "    os.write(1, text.encode() + b'\\n')\n"
            "    os.write(2, text.encode() + b'\\n')\n"
            "os._exit(0)"
        ),
        fools=True,
    ),
    Forgery(
        "write a verdict to every descriptor",
        (
            "import os\n"
            "def f(x):\n"
            "    for n in range(256):\n"
            "        try:\n"
            f"            os.write(n, {MARKERS[0]!r}.encode() + b'\\n')\n"
            "        except OSError:\n"
            "            pass\n"
            "    return 5"
        ),
    ),
    Forgery(
        "write a verdict to every descriptor and end",
        (
            "import os\n"
            "for n in range(256):\n"
            "    try:\n"
            f"        os.write(n, {MARKERS[0]!r}.encode() + b'\\n')\n"
            "    except OSError:\n"
            "        pass\n"
            "os._exit(0)"
        ),
        fools=True,
    ),
    Forgery(
        "write a result file",
        """
            import json
            for name in ('result.json', 'scores.jsonl', '../result.json', '/tmp/result.json'):
                try:
                    open(name, 'w').write(json.dumps({'verdict': 'passed'}))
                except OSError:
                    pass
            def f(x):
                return 5
            """,
    ),
    Forgery(
        "signal the parent",
        """
            import os, signal
            def f(x):
                for n in (signal.SIGUSR1, signal.SIGTERM, signal.SIGCHLD, signal.SIGKILL):
                    try:
                        os.kill(os.getppid(), n)
                    except OSError:
                        pass
                return 5
            """,
    ),
]

_EVERYTHING = (
    "class Same:\n"
    + "".join(
        f"    def __{name}__(self, *_):\n        return {result}\n"
        for name, result in [
            *(
                (name, "True")
                for name in ("eq", "bool", "lt", "le", "gt", "ge", "contains", "instancecheck")
            ),
            *((name, "False") for name in ("ne",)),
            *((name, "0.0") for name in ("sub", "rsub", "abs", "add", "mul", "float", "round")),
            *((name, "0") for name in ("len", "hash", "int", "index")),
            ("iter", "iter(())"),
        ]
    )
    + (
        "    def __getattr__(self, name):\n"
        "        return self\n"
        "    def __call__(self, *_):\n"
        "        return self\n"
    )
)


def _subclass(kind: str, value: str) -> str:
    return (
        f"class Same({kind}):\n    __hash__ = {kind}.__hash__\n"
        + "".join(
            (f"    def __{name}__(self, *_):\n        return True\n")
            for name in ("eq", "lt", "le", "gt", "ge", "contains", "bool")[
                : 7 if kind == "int" else 6
            ]
        )
        + "    def __ne__(self, *_):\n        return False\n"
        + (
            ("    def __sub__(self, other):\n        return 0\n    __rsub__ = __sub__\n")
            if kind in ("int", "float")
            else ""
        )
        + f"def f(x):\n    return Same({value})\n"
    )


OBJECTS = [
    Forgery(
        f"an object that equals everything: {name}",
        (f"{_EVERYTHING}def f(x):\n    return Same()"),
        tests,
        fools=fools,
        verdicts=("wrong_answer",),
    )
    for name, tests, fools in (
        ("==", SQUARES, True),
        ("abs(… - …) < …", NEAR, True),
        ("in", AMONG, True),
        ("lists", LISTS, True),
        ("texts", TEXTS, True),
        ("<= <=", BETWEEN, True),
        ("in the result", HOLDS, True),
        ("truth", TRUE, True),
        ("called", CALLED, True),
        ("named", NAMED, True),
    )
]

OBJECTS += [
    Forgery(
        "a whole number of its own kind",
        _subclass("int", "5"),
        fools=True,
        verdicts=("wrong_answer",),
    ),
    Forgery(
        "a whole number of its own kind, near",
        _subclass("int", "5"),
        NEAR,
        fools=True,
        verdicts=("wrong_answer",),
    ),
    Forgery(
        "a float of its own kind", _subclass("float", "5"), fools=True, verdicts=("wrong_answer",)
    ),
    Forgery(
        "a text of its own kind",
        _subclass("str", "'x'"),
        TEXTS,
        fools=True,
        verdicts=("wrong_answer",),
    ),
    Forgery(
        "a list of its own kind",
        _subclass("list", "[5]").replace("list.__hash__", "None"),
        LISTS,
        fools=True,
        verdicts=("wrong_answer",),
    ),
    Forgery(
        "a dictionary of its own kind",
        _subclass("dict", "{}").replace("dict.__hash__", "None"),
        LISTS,
        fools=True,
        verdicts=("wrong_answer",),
    ),
    Forgery(
        "a tuple of its own kind in a list",
        _subclass("tuple", "(5,)")
        .replace("return Same", "return [Same")
        .replace("((5,))", "((5,))]"),
        TUPLES,
        fools=True,
        verdicts=("wrong_answer",),
    ),
    Forgery(
        "an exception as the result",
        """
            class E(Exception):
                def __eq__(self, other):
                    return True
            def f(x):
                return E()
            """,
        fools=True,
        verdicts=("wrong_answer",),
    ),
    Forgery(
        "a class as the result",
        (
            "class M(type):\n"
            "    def __eq__(self, other):\n"
            "        return True\n"
            "    __hash__ = None\n"
            "class A(metaclass=M):\n"
            "    pass\n"
            "def f(x):\n"
            "    return A"
        ),
        fools=True,
        verdicts=("wrong_answer",),
    ),
    Forgery("a generator as the result", "def f(x):\n    yield 4", verdicts=("wrong_answer",)),
    Forgery(
        "itself as the result",
        """
            class F:
                def __call__(self, x):
                    return self
                def __eq__(self, other):
                    return True
            f = F()
            """,
        fools=True,
        verdicts=("wrong_answer",),
    ),
    Forgery(
        "not a number",
        """
            def f(x):
                return float('nan')
            """,
        NEAR,
        verdicts=("wrong_answer",),
    ),
    Forgery(
        "a decimal that raises when compared",
        """
            import decimal
            def f(x):
                return decimal.Decimal('sNaN')
            """,
        LARGER,
        verdicts=("wrong_answer",),
    ),
    Forgery(
        "a truth that is no number",
        """
            def f(x):
                return 1 if x % 2 == 0 else 0
            """,
        TRUTHS,
        verdicts=("wrong_answer",),
    ),
    Forgery(
        "equal by name: namedtuple",
        """
            import collections
            T = collections.namedtuple('T', 'a')
            class Same(T):
                def __eq__(self, other):
                    return True
                __hash__ = None
            def f(x):
                return Same(5)
            """,
        fools=True,
        verdicts=("wrong_answer",),
    ),
]
PATCHES = [
    Forgery(
        "patched abs",
        """
            import builtins
            builtins.abs = lambda x: 0
            def f(x):
                return 5
            """,
        NEAR,
        fools=True,
        verdicts=("wrong_answer",),
    ),
    Forgery(
        "patched all",
        """
            import builtins
            builtins.all = lambda x: True
            def f(x):
                return 5
            """,
        MAPPED,
        fools=True,
        verdicts=("wrong_answer",),
    ),
    Forgery(
        "patched AssertionError",
        """
            import builtins
            class E(SystemExit):
                code = 0
            builtins.AssertionError = E
            def f(x):
                return 5
            """,
        verdicts=("wrong_answer",),
    ),
    Forgery(
        "patched check",
        """
            import sys
            def f(x):
                sys._getframe(1).f_globals['check'] = lambda c: None
                return 5
            """,
        verdicts=("wrong_answer",),
    ),
    Forgery(
        "patched json",
        """
            import json
            for name in ('dumps', 'loads', 'dump', 'load'):
                setattr(json, name, lambda *_, **__: {'r': 4, 'c': []})
            def f(x):
                return 5
            """,
    ),
    Forgery(
        "patched struct",
        r"""
            import struct
            struct.pack = lambda *_: b'\4\0\0\0'
            struct.unpack = lambda *_: (4,)
            def f(x):
                return 5
            """,
    ),
    Forgery(
        "patched os.write",
        """
            import os
            old = os.write
            os.write = lambda n, data: old(n, bytes(data).replace(b'5', b'6'))
            def f(x):
                return 5
            """,
        verdicts=("wrong_answer",),
    ),
    Forgery(
        "patched unittest",
        """
            import unittest
            unittest.TestResult.wasSuccessful = lambda self: True
            unittest.TestCase.run = lambda self, result=None: None
            def f(x):
                return 5
            """,
        verdicts=("wrong_answer",),
    ),
    Forgery(
        "patched side of the program",
        """
            import sys
            for name, module in list(sys.modules.items()):
                if name.endswith(('.wire', '.channel', '.candidate', '.failures', '.judge', '.worker')):
                    for key, value in list(vars(module).items()):
                        if callable(value) and key in ('answer', 'changed', 'run', '_judged', '_verdict', '_say'):
                            setattr(module, key, lambda *_: {'verdict': 'passed', 'message': '', 'traceback': ''})
            def f(x):
                return 5
            """,
    ),
    Forgery(
        "trace function",
        """
            import sys
            def trace(frame, event, arg):
                frame.f_globals['check'] = lambda c: None
                return trace
            sys.settrace(trace)
            def f(x):
                return 5
            """,
        verdicts=("wrong_answer",),
    ),
    Forgery(
        "thread that patches later",
        """
            import threading, sys
            def later():
                for _ in range(100):
                    for module in list(sys.modules.values()):
                        if hasattr(module, 'check'):
                            module.check = lambda c: None
            threading.Thread(target=later, daemon=True).start()
            def f(x):
                return 5
            """,
        verdicts=("wrong_answer",),
    ),
]

FOUND = "FOUND"  # what a program prints that has found it
_NEEDLE = (
    "needle = ''.join(reversed('rekramstset'))\n"
    "def told(text):\n"
    "    if needle in str(text): print('FOUND', str(text)[:300])\n"
)
SCAN = """
import ctypes, gc, os
needle = ''.join(reversed('rekramstset')).encode()
libc = ctypes.CDLL(None)
libc.sbrk.restype = ctypes.c_void_p
libc.write.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
def scan():
    out = os.open('dump', os.O_CREAT | os.O_RDWR)
    top = libc.sbrk(0)
    parts = {part for thing in gc.get_objects() for part in (id(thing) >> 20,)}
    ranges = [(top - (64 << 20), top)] + [(n << 20, n + 1 << 20) for n in sorted(parts) if n << 20 > top]
    for at, end in ranges:
        while at < end:
            size = libc.write(out, at, 65536)
            if size > 0:
                data = os.pread(out, size, 0)
                os.lseek(out, 0, os.SEEK_SET)
                found = data.find(needle)
                while found >= 0:
                    # The needle itself is no find: it stands alone.
                    before, behind = data[found - 5:found], data[found + 11:found + 17]
                    if before in (b'only ', b' not ', b\"'not \") or behind == b' knows':
                        print('FOUND', data[max(0, found - 60):found + 60], flush=True)
                        return
                    found = data.find(needle, found + 1)
            at += size if size > 0 else 4096
"""
WRONG = (
    "import sys\n"
    "print('from the program before: ' + 'only ' + ''.join(reversed('rekramstset')) + ' knows')\n"
    "def f(x):\n"
    "    return 5\n"
)
READS = [
    Forgery(
        "read the caller's frames",
        _NEEDLE
        + (
            "import sys\n"
            "def f(x):\n"
            "    frame = sys._getframe()\n"
            "    while frame is not None:\n"
            "        told(frame.f_code.co_consts)\n"
            "        told(frame.f_locals)\n"
            "        told({k: v for k, v in frame.f_globals.items() if k != 'needle'})\n"
            "        frame = frame.f_back\n"
            "    return 5"
        ),
        MARKED,
    ),
    Forgery(
        "read what the garbage collector knows",
        _NEEDLE
        + (
            "import gc\n"
            "def f(x):\n"
            "    for thing in gc.get_objects():\n"
            "        if isinstance(thing, (list, dict, tuple)) and thing is not globals():\n"
            "            things = thing.values() if isinstance(thing, dict) else thing\n"
            "            told([t for t in things if type(t) is str and t != needle])\n"
            "    return 5"
        ),
        MARKED,
    ),
    Forgery(
        "read the lines of tracebacks",
        _NEEDLE
        + (
            "import linecache\n"
            "def f(x):\n"
            "    told({k: v for k, v in linecache.cache.items() if k != 'program.py'})\n"
            "    return 5"
        ),
        MARKED,
    ),
    Forgery(
        "read all files",
        _NEEDLE
        + (
            "import os\n"
            "def f(x):\n"
            "    for top in ('/tmp', '.', '/proc/self/fd', '/dev/fd', '/run', '/var'):\n"
            "        for place, _, names in os.walk(top):\n"
            "            for name in names:\n"
            "                try:\n"
            "                    told(open(os.path.join(place, name), errors='replace').read(100000))\n"
            "                except OSError:\n"
            "                    pass\n"
            "    return 5"
        ),
        MARKED,
    ),
    Forgery(
        "read all descriptors",
        _NEEDLE
        + (
            "import os\n"
            "def f(x):\n"
            "    for n in range(3, 256):\n"
            "        if n == 4: continue\n"
            "        try:\n"
            "            told(os.pread(n, 100000, 0))\n"
            "        except OSError:\n"
            "            pass\n"
            "    return 5"
        ),
        MARKED,
    ),
    Forgery(
        "read all modules",
        _NEEDLE
        + (
            "import sys\n"
            "def f(x):\n"
            "    for module in list(sys.modules.values()):\n"
            "        if module.__name__ != 'solution':\n"
            "            told({k: v for k, v in vars(module).items() if type(v) in (str, bytes, list, dict, tuple)})\n"
            "    return 5"
        ),
        MARKED,
    ),
    Forgery("read its own memory", SCAN + "def f(x):\n    scan()\n    return 5", MARKED),
    Forgery(
        "read in its memory what tests said of the one before",
        SCAN + ("def f(x):\n    scan()\n    return 5"),
        MARKED,
        before=(WRONG, WRONG, WRONG),
    ),
    Forgery(
        "read the judge's memory",
        _NEEDLE
        + (
            "import os\n"
            "def f(x):\n"
            "    for pid in range(1, 40):\n"
            "        try:\n"
            "            told(open(f'/proc/{pid}/mem', 'rb').read(10))\n"
            "            told(os.listdir(f'/proc/{pid}/fd'))\n"
            "            print('FOUND', pid)\n"
            "        except OSError:\n"
            "            pass\n"
            "    return 5"
        ),
        MARKED,
    ),
    Forgery(
        "keep what the one before has left",
        _NEEDLE
        + (
            "import glob\n"
            "def f(x):\n"
            "    everywhere = ('/tmp/**', '**', '/dev/shm/*')\n"
            "    for path in [p for e in everywhere for p in glob.glob(e, recursive=True)]:\n"
            "        try:\n"
            "            told(open(path).read())\n"
            "        except OSError:\n"
            "            pass\n"
            "    return 5"
        ),
        MARKED,
        before=(
            (
                "for name in ('/tmp/a', 'a', '/dev/shm/a', '/var/tmp/a'):\n"
                "    try:\n"
                "        open(name, 'w').write('only ' + ''.join(reversed('rekramstset')))\n"
                "    except OSError:\n"
                "        pass\n"
                "def f(x):\n"
                "    return 5"
            ),
        ),
    ),
    Forgery(
        "keep a module changed for the next one",
        """
            import json
            def f(x):
                if hasattr(json, 'left'): print('FOUND')
                return 5
            """,
        before=(("import json\njson.left = 1\ndef f(x):\n    return 5"),),
    ),
]

_SEND = (
    "import json, os, struct, time\n"
    "def send(form):\n"
    "    body = form if isinstance(form, bytes) else json.dumps(form).encode()\n"
    "    os.write(4, struct.pack('=I', len(body)) + body)\n"
)


def _answers(name: str, form: str, tests: str = SQUARES, verdicts: tuple[str, ...] = ()) -> Forgery:
    """Return a program that writes an answer of its own into the channel, at the first call."""
    return Forgery(
        f"channel: {name}",
        (f"{_SEND}def f(x):\n    send({form})\n    time.sleep(0.05)\n    os._exit(0)"),
        tests,
        verdicts=verdicts,
    )


CHANNEL = [
    Forgery(
        "channel: a ready program that is none",
        (f"{_SEND}send({{'ready': True}})\nos._exit(0)"),
        verdicts=("exception",),
    ),
    Forgery(
        "channel: answers before the questions",
        (
            f"{_SEND}send({{'ready': True}})\n"
            f"for _ in range(9): send({{'r': 4, 'c': []}})\n"
            "time.sleep(0.05)\n"
            "os._exit(0)"
        ),
    ),
    Forgery(
        "channel: two answers to one question",
        (f"{_SEND}def f(x):\n    send({{'r': 4, 'c': []}})\n    return 4"),
    ),
    Forgery(
        "channel: an answer from a thread that stays",
        (
            f"{_SEND}import threading\n"
            "def f(x):\n"
            "    def answer():\n"
            f"        for _ in range(50): send({{'r': 5, 'c': []}})\n"
            "    threading.Thread(target=answer, daemon=True).start()\n"
            "    time.sleep(0.1)\n"
            "    return 5"
        ),
    ),
    _answers(
        "a verdict",
        "{'verdict': 'passed', 'message': '', 'traceback': ''}",
        verdicts=("exception",),
    ),
    _answers("a verdict as a result", "{'r': {'verdict': 'passed'}, 'c': []}"),
    _answers(
        "a failed judge",
        "{'failed': {'verdict': 'judge_failed', 'message': '', 'traceback': ''}}",
        verdicts=("exception",),
    ),
    Forgery(
        "channel: a failed judge at once",
        (
            f"{_SEND}send({{'failed': {{'verdict': 'judge_failed', 'message': '', 'traceback': ''}}}})\n"
            "time.sleep(9)"
        ),
        verdicts=("exception",),
    ),
    Forgery(
        "channel: a pass at once",
        (
            f"{_SEND}send({{'failed': {{'verdict': 'passed', 'message': '', 'traceback': ''}}}})\n"
            "time.sleep(9)"
        ),
        verdicts=("exception",),
    ),
    _answers("an end", "{'ended': True}", verdicts=("exception",)),
    _answers("an end that is over", "{'over': {'verdict': 'passed'}}", verdicts=("exception",)),
    _answers("nothing plain", "{'u': 'x'}", verdicts=("wrong_answer",)),
    _answers("nothing plain, and long", "{'u': 'x' * 1000000}", verdicts=("wrong_answer",)),
    _answers(
        "a container that is not there", "{'r': {'m': 999}, 'c': []}", verdicts=("exception",)
    ),
    _answers("a container before the first", "{'r': {'m': -1}, 'c': []}", verdicts=("exception",)),
    _answers(
        "a container that is no number", "{'r': {'m': 'x'}, 'c': []}", verdicts=("exception",)
    ),
    _answers("an unknown tag", "{'r': {'eval': 'exit(0)'}, 'c': []}", verdicts=("exception",)),
    _answers(
        "a change of what is not there", "{'r': 4, 'c': [[999, [1]]]}", verdicts=("exception",)
    ),
    _answers("a change of another kind", "{'r': [1, 2, 3], 'c': [[0, {'d': []}]]}", LISTS),
    _answers("a change that is none", "{'r': 4, 'c': 5}", verdicts=("exception",)),
    _answers("no changes at all", "{'r': 4}", verdicts=("exception",)),
    _answers("a list for an answer", "[1, 2]", verdicts=("exception",)),
    _answers("a text for an answer", "'passed'", verdicts=("exception",)),
    _answers("no JSON", "b'passed'", verdicts=("exception",)),
    _answers("bytes that are no text", "b'\\xff\\xfe'", verdicts=("exception",)),
    _answers("deeply nested JSON", "b'[' * 1000000", verdicts=("exception",)),
    _answers(
        "deeply nested values",
        "b'{\"r\":' + b'[' * 5000 + b']' * 5000 + b',\"c\":[]}'",
        verdicts=("exception",),
    ),
    _answers(
        "deeply nested tuples to hand back",
        "b'{\"r\":' + b'{\"t\":[' * 190 + b'1' + b']}' * 190 + b',\"c\":[]}'",
        TWICE,
        verdicts=("exception",),
    ),
    _answers(
        "more deeply nested tuples to hand back",
        "b'{\"r\":' + b'{\"t\":[' * 240 + b'1' + b']}' * 240 + b',\"c\":[]}'",
        TWICE,
        verdicts=("exception",),
    ),
    _answers(
        "a time zone to hand back",
        "{'r': {'Z': 'Europe/Berlin'}, 'c': []}",
        TWICE,
        verdicts=("exception",),
    ),
    _answers(
        "a long number as text",
        "b'{\"r\":' + b'9' * 100000 + b',\"c\":[]}'",
        verdicts=("exception",),
    ),
    _answers(
        "a large message",
        "{'r': 'x' * (31 << 20), 'c': []}",
        verdicts=("wrong_answer", "memory", "timeout"),
    ),
    Forgery(
        "channel: a huge length",
        (f"{_SEND}def f(x):\n    os.write(4, b'\\xff\\xff\\xff\\xff')\n    time.sleep(9)"),
        verdicts=("exception",),
    ),
    Forgery(
        "channel: half a message",
        (
            f"{_SEND}def f(x):\n    os.write(4, struct.pack('=I', 100) + b'{{')\n    os._exit(0)"
        ).replace("{{", "{"),
        verdicts=("exception",),
    ),
    Forgery(
        "channel: half a message for ever",
        (f"{_SEND}def f(x):\n    os.write(4, struct.pack('=I', 100) + b'x')\n    time.sleep(99)"),
        verdicts=("timeout",),
    ),
    Forgery(
        "channel: garbage",
        (f"{_SEND}def f(x):\n    os.write(4, bytes(range(256)) * 10)\n    time.sleep(9)"),
        verdicts=("exception",),
    ),
    Forgery(
        "channel: garbage without end",
        r"""
            import os
            def f(x):
                while True:
                    os.write(4, b'\1\0\0\0x' * 1000)
            """,
        verdicts=("exception",),
    ),
    Forgery(
        "channel: closed at import",
        """
            import os
            os.close(4)
            def f(x):
                return 5
            """,
        verdicts=("exception",),
    ),
    Forgery(
        "channel: closed at a call",
        """
            import os
            def f(x):
                os.close(4)
                return 5
            """,
        verdicts=("exception",),
    ),
    Forgery(
        "channel: closed, and the program stays",
        """
            import os, time
            def f(x):
                os.close(4)
                time.sleep(99)
            """,
        verdicts=("exception", "timeout"),
    ),
    Forgery(
        "channel: led back to itself",
        """
            import os, socket
            a, b = socket.socketpair()
            os.dup2(a.fileno(), 4)
            def f(x):
                return 5
            """,
        verdicts=("exception", "timeout"),
    ),
    Forgery(
        "channel: questions read ahead",
        """
            import os, select
            def f(x):
                ready = select.select([4], [], [], 0.05)[0]
                if ready: print('FOUND', os.read(4, 1000))
                return 5
            """,
        verdicts=("wrong_answer",),
    ),
    Forgery(
        "channel: handed other files",
        (
            f"{_SEND}import array, socket\n"
            "def f(x):\n"
            "    s = socket.socket(fileno=4)\n"
            "    s.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [1]))])\n"
            "    return 5"
        ),
        verdicts=("exception",),
    ),
]

EXCEPTIONS = [
    Forgery(
        "no exception where one is due",
        """
            def f(x):
                return 2
            """,
        RAISES,
        verdicts=("wrong_answer",),
    ),
    Forgery(
        "another exception of that name",
        """
            class ValueError(Exception):
                pass
            def f(x):
                if x < 0: raise ValueError
                return 2
            """,
        RAISES,
        verdicts=("exception",),
    ),
    Forgery(
        "the end where an exception is due",
        """
            import os
            def f(x):
                if x < 0: os._exit(0)
                return 2
            """,
        RAISES,
        verdicts=("exception",),
    ),
    Forgery(
        "the exit where an exception is due",
        """
            import sys
            def f(x):
                if x < 0: sys.exit('ValueError')
                return 2
            """,
        RAISES,
        verdicts=("exception",),
    ),
    Forgery(
        "an exception for every call",
        """
            def f(x):
                raise ValueError
            """,
        RAISES,
        verdicts=("exception",),
    ),
    Forgery(
        "an exception with a magic text",
        """
            class E(Exception):
                def __str__(self):
                    raise SystemExit(0)
                __repr__ = __str__
            def f(x):
                raise E
            """,
        verdicts=("exception",),
    ),
    Forgery(
        "an exception that is an assertion of the tests",
        """
            def f(x):
                raise AssertionError('passed')
            """,
        verdicts=("exception",),
    ),
    Forgery(
        "an exception with hostile arguments",
        """
            class A:
                def __reduce__(self):
                    return (print, ('FOUND',))
            def f(x):
                raise ValueError(A(), lambda: 1, [A()])
            """,
        verdicts=("exception",),
    ),
    Forgery(
        "an exception with endless causes",
        """
            def f(x):
                e = ValueError()
                e.__cause__ = e
                raise e
            """,
        verdicts=("exception",),
    ),
    Forgery(
        "an exception of many bases",
        """
            class M(type):
                def mro(cls):
                    return [cls, Exception, BaseException, object]
                __qualname__ = __module__ = 'x' * 10000
            class E(Exception, metaclass=M):
                pass
            def f(x):
                raise E
            """,
        verdicts=("exception",),
    ),
    Forgery(
        "an error that tests of ours could make",
        """
            def f(x):
                raise NameError('name x is not defined')
            """,
        verdicts=("exception",),
    ),
    Forgery("an import error", "def f(x):\n    import nothing_like_it", verdicts=("exception",)),
    Forgery("a syntax error at a call", "def f(x):\n    exec('(')", verdicts=("exception",)),
    Forgery(
        "an error that the tests pass on",
        """
            def f(x):
                raise NameError('x')
            """,
        PASSED_ON,
        verdicts=("exception", "wrong_answer"),
    ),
    Forgery("an error of memory", "def f(x):\n    raise MemoryError", verdicts=("memory",)),
    Forgery("an endless recursion", "def f(x):\n    return f(x)", verdicts=("exception",)),
    Forgery(
        "an exception group",
        """
            def f(x):
                raise ExceptionGroup('x', [ValueError()])
            """,
        RAISES,
        verdicts=("exception",),
    ),
    Forgery(
        "arguments changed to match",
        """
            def f(x):
                x[:] = [2, 4]
                return x[:1]
            """,
        EXPECTED_FIRST,
        verdicts=("wrong_answer",),
    ),
    Forgery(
        "arguments of an earlier call changed",
        """
            kept = []
            def f(x):
                kept.append(x)
                for old in kept[:-1]: old[:] = [9, 9]
                return 9
            """,
        LATER,
        verdicts=("wrong_answer",),
    ),
    Forgery(
        "default values of the function changed",
        """
            def f(x):
                return 5
            f.__code__ = (lambda x: 6).__code__
            """,
        verdicts=("wrong_answer",),
    ),
]
FORGERIES = [*ENDS, *PRINTS, *OBJECTS, *PATCHES, *READS, *CHANNEL, *EXCEPTIONS]
