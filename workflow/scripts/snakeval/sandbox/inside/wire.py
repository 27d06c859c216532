"""Values between the tests' process and the program's process: copies of plain ones, as JSON.

Plain are None, numbers, text, bytes, the standard containers, and the value types of `datetime`,
`decimal`, `fractions` and `collections`. An instance of a subclass of one of these crosses as the base
type, so that no method of the program's decides anything. All else is refused.

Containers that can be changed keep their identity within one call: `Sender` and `Receiver` number them
in the order in which they first appear, so that a result may be one of the arguments, and a changed
argument can be written back. One that contains itself is refused.

Nothing here runs code that a message names: unknown tags are errors.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import json
import uuid
from collections.abc import Callable
from typing import Any

SMALL = 1 << 62  # whole numbers beyond it cross in hexadecimal: decimal takes quadratic time
MAX_DEPTH = 200
MUTABLE = (list, dict, set, bytearray, collections.deque)


class Unsendable(Exception):
    """A value that is not plain."""


class TooDeep(Unsendable):
    """A value nested too deeply."""


class Sender:
    """Writes values; knows which containers the other side has already."""

    def __init__(self) -> None:
        self.known: dict[int, int] = {}  # id → number
        self.kept: list[Any] = []  # by number; keeps the ids valid

    def know(self, containers: list[Any]) -> None:
        """Take over what a `Receiver` has numbered."""
        for container in containers:
            self._number(container)

    def _number(self, container: Any) -> None:
        self.known[id(container)] = len(self.kept)
        self.kept.append(container)

    def encode(self, value: Any, depth: int = 0) -> Any:
        """Return the JSON form of `value`.

        Raises:
            Unsendable: it holds something that is not plain.
        """
        kind = type(value)
        if value is None or kind is bool or kind is str or kind is float:
            return value
        if kind is int:
            return value if -SMALL < value < SMALL else {"i": hex(value)}
        if depth > MAX_DEPTH:
            raise TooDeep("a value nested too deeply, or one that contains itself")
        if kind is tuple:
            return {"t": [self.encode(item, depth + 1) for item in value]}
        number = self.known.get(id(value))
        if number is not None:
            return {"m": number}
        base = next((known for known in kind.__mro__ if known in ENCODERS), None)
        if base is None:
            raise Unsendable(f"an object of type {kind.__name__}")
        if base in MUTABLE_BASES:
            self._number(value)
        return ENCODERS[base](self, value, depth + 1)

    def content(self, container: Any) -> Any:
        """Return the JSON form of what a container that the other side knows holds now."""
        base = next(known for known in type(container).__mro__ if known in ENCODERS)
        return ENCODERS[base](self, container, 1)

    def items(self, values: Any, depth: int) -> list[Any]:
        """Return the JSON forms of several values."""
        return [self.encode(value, depth) for value in values]


def _pairs(sender: Sender, pairs: Any, depth: int) -> list[Any]:
    return [[sender.encode(key, depth), sender.encode(value, depth)] for key, value in pairs]


def _tuple(sender: Sender, value: Any, depth: int) -> Any:
    items = sender.items(tuple.__iter__(value), depth)
    fields = getattr(type(value), "_fields", None)
    if type(fields) is tuple and len(fields) == len(items) and all(type(f) is str for f in fields):
        return {"n": [str(type(value).__name__), list(fields), items]}
    return {"t": items}


def _number(value: int) -> Any:
    return value if -SMALL < value < SMALL else {"i": hex(value)}


# The methods of the base types are called, never those of a subclass.
ENCODERS: dict[type, Callable[[Sender, Any, int], Any]] = {
    bool: lambda s, v, d: bool.__bool__(v),
    int: lambda s, v, d: _number(int.__index__(v)),
    float: lambda s, v, d: float.__float__(v),
    str: lambda s, v, d: str.__str__(v),
    complex: lambda s, v, d: {"c": [v.real, v.imag]},
    bytes: lambda s, v, d: {"b": bytes.hex(v)},
    tuple: _tuple,
    list: lambda s, v, d: s.items(list.__iter__(v), d),
    set: lambda s, v, d: {"s": s.items(set.__iter__(v), d)},
    frozenset: lambda s, v, d: {"f": s.items(frozenset.__iter__(v), d)},
    dict: lambda s, v, d: {"d": _pairs(s, dict.items(v), d)},
    collections.OrderedDict: lambda s, v, d: {"o": _pairs(s, collections.OrderedDict.items(v), d)},
    collections.Counter: lambda s, v, d: {"C": _pairs(s, dict.items(v), d)},
    collections.defaultdict: lambda s, v, d: {"D": _pairs(s, dict.items(v), d)},
    collections.deque: lambda s, v, d: {
        "q": [s.items(collections.deque.__iter__(v), d), v.maxlen],
    },
    bytearray: lambda s, v, d: {"B": bytearray.hex(v)},
    range: lambda s, v, d: {"r": s.items((v.start, v.stop, v.step), d)},
    slice: lambda s, v, d: {"l": s.items((v.start, v.stop, v.step), d)},
    type({}.keys()): lambda s, v, d: {"k": s.items(v, d)},
    type({}.values()): lambda s, v, d: {"v": s.items(v, d)},
    type({}.items()): lambda s, v, d: {"p": [s.items(pair, d) for pair in v]},
    type(...): lambda s, v, d: {"e": 0},
    type(NotImplemented): lambda s, v, d: {"e": 1},
    decimal.Decimal: lambda s, v, d: {"N": decimal.Decimal.__str__(v)},
    fractions.Fraction: lambda s, v, d: {"F": s.items((v._numerator, v._denominator), d)},
    datetime.datetime: lambda s, v, d: {"z": [_moment(v), _zone(v.tzinfo), v.fold]},
    datetime.date: lambda s, v, d: {"y": [v.year, v.month, v.day]},
    datetime.time: lambda s, v, d: {
        "h": [[v.hour, v.minute, v.second, v.microsecond], _zone(v.tzinfo), v.fold]
    },
    datetime.timedelta: lambda s, v, d: {"w": [v.days, v.seconds, v.microseconds]},
    datetime.timezone: lambda s, v, d: {"Z": _zone(v)},
    uuid.UUID: lambda s, v, d: {"u": hex(v.int)},
}
MUTABLE_BASES = frozenset(base for base in ENCODERS if issubclass(base, MUTABLE))


def _moment(value: datetime.datetime) -> list[int]:
    clock = [value.hour, value.minute, value.second, value.microsecond]
    return [value.year, value.month, value.day, *clock]


def _zone(zone: datetime.tzinfo | None) -> Any:
    """Return None, seconds east of Greenwich, or the name of a time zone."""
    if zone is None:
        return None
    if type(zone) is datetime.timezone:
        return zone.utcoffset(None).total_seconds()
    key = getattr(zone, "key", None)
    if type(zone).__module__ == "zoneinfo" and type(key) is str:
        return key
    raise Unsendable(f"a time zone of type {type(zone).__name__}")


class Receiver:
    """Reads values; numbers containers as the `Sender` did."""

    def __init__(self, known: list[Any] | None = None) -> None:
        self.kept: list[Any] = list(known or [])

    def decode(self, form: Any) -> Any:
        """Return the value of a JSON form.

        Raises:
            ValueError, TypeError, KeyError, IndexError, ArithmeticError: it is none.
        """
        kind = type(form)
        if kind is list:
            made: list[Any] = []
            self.kept.append(made)
            made.extend(map(self.decode, form))
            return made
        if kind is not dict:
            return form
        ((tag, body),) = form.items()
        if tag == "t":
            return tuple(map(self.decode, body))
        if tag in CONTAINERS:
            container = CONTAINERS[tag]()
            number = len(self.kept)
            self.kept.append(container)
            self.kept[number] = self.fill(container, tag, body)
            return self.kept[number]
        if tag == "m":
            if not 0 <= body < len(self.kept):
                raise ValueError("no such container")
            return self.kept[body]
        return DECODERS[tag](self, body)

    def fill(self, container: Any, tag: str, body: Any) -> Any:
        """Put what a form holds into an empty container, and return it."""
        if tag == "q":
            items, most = body
            if most is not None:
                container = collections.deque(maxlen=most)
            container.extend(map(self.decode, items))
        elif tag == "s":
            container.update(map(self.decode, body))
        elif tag == "B":
            container += bytes.fromhex(body)
        else:
            for key, value in body:
                container[self.decode(key)] = self.decode(value)
        return container

    def rewrite(self, number: int, form: Any) -> None:
        """Make a container that this side knows hold what the other side says it holds now."""
        container = self.kept[number]
        if type(form) is list:
            fresh: Any = [self.decode(item) for item in form]
            container[:] = fresh
            return
        ((tag, body),) = form.items()
        fresh = self.fill(CONTAINERS[tag](), tag, body)
        container.clear()
        if isinstance(container, collections.deque | bytearray):
            container.extend(fresh)
        else:
            container.update(fresh)


CONTAINERS: dict[str, Callable[[], Any]] = {
    "d": dict,
    "o": collections.OrderedDict,
    "C": collections.Counter,
    "D": collections.defaultdict,
    "s": set,
    "q": collections.deque,
    "B": bytearray,
}


def _named(receiver: Receiver, body: Any) -> Any:
    name, fields, items = body
    values = list(map(receiver.decode, items))
    try:
        return collections.namedtuple(str(name), list(map(str, fields)))(*values)
    except ValueError:
        return tuple(values)


def _read_zone(form: Any) -> datetime.tzinfo | None:
    if form is None:
        return None
    if type(form) is str:
        import zoneinfo

        return zoneinfo.ZoneInfo(form)
    return datetime.timezone(datetime.timedelta(seconds=form))


DECODERS: dict[str, Callable[[Receiver, Any], Any]] = {
    "i": lambda r, b: int(b, 16),
    "c": lambda r, b: complex(*b),
    "b": lambda r, b: bytes.fromhex(b),
    "f": lambda r, b: frozenset(map(r.decode, b)),
    "n": _named,
    "r": lambda r, b: range(*map(r.decode, b)),
    "l": lambda r, b: slice(*map(r.decode, b)),
    "k": lambda r, b: dict.fromkeys(map(r.decode, b)).keys(),
    "v": lambda r, b: dict(enumerate(map(r.decode, b))).values(),
    "p": lambda r, b: {r.decode(k): r.decode(v) for k, v in b}.items(),
    "e": lambda r, b: (..., NotImplemented)[b],
    "N": lambda r, b: decimal.Decimal(b),
    "F": lambda r, b: fractions.Fraction(*map(r.decode, b)),
    "z": lambda r, b: datetime.datetime(*b[0]).replace(tzinfo=_read_zone(b[1]), fold=b[2]),
    "y": lambda r, b: datetime.date(*b),
    "h": lambda r, b: datetime.time(*b[0]).replace(tzinfo=_read_zone(b[1]), fold=b[2]),
    "w": lambda r, b: datetime.timedelta(*b),
    "Z": lambda r, b: datetime.timezone(datetime.timedelta(seconds=b)),
    "u": lambda r, b: uuid.UUID(int=int(b, 16)),
}


_encode = json.JSONEncoder(check_circular=False, separators=(",", ":")).encode
_decode = json.JSONDecoder().raw_decode


def dump(form: Any) -> bytes:
    """Return a JSON form as bytes."""
    return _encode(form).encode("ascii")


def load(data: bytes) -> Any:
    """Return the JSON form that `dump` has written.

    Raises:
        ValueError: it has not.
    """
    text = data.decode("ascii")
    form, end = _decode(text)
    if end != len(text):
        raise ValueError("more than one value")
    return form


def snapshot(container: Any) -> Any:
    """Return what tells later whether a container has been changed: its items, by identity."""
    if isinstance(container, dict):
        return list(dict.items(container))
    return bytes(container) if isinstance(container, bytearray) else list(container)


def changed(container: Any, before: Any) -> bool:
    """Whether a container holds something else than at its snapshot."""
    now = snapshot(container)
    if type(now) is bytes:
        return bool(now != before)
    if len(now) != len(before):
        return True
    if isinstance(container, dict):
        return any(a[0] is not b[0] or a[1] is not b[1] for a, b in zip(now, before, strict=True))
    return any(a is not b for a, b in zip(now, before, strict=True))
