"""Messages over a socket: four bytes of length, then JSON. The two sides take turns."""

from __future__ import annotations

import os
import struct
from typing import Any

from . import wire

MAX_MESSAGE = 32 << 20  # bytes
READ = 1 << 16  # bytes at first: most messages are read at once
HEAD = 4  # bytes
_SIZE = struct.Struct("=I")


class Closed(Exception):
    """The other side is gone, or says what cannot be read."""


def send(descriptor: int, form: Any) -> None:
    """Write one message.

    Raises:
        Closed: the other side is gone.
    """
    body = wire.dump(form)
    data = _SIZE.pack(len(body)) + body
    try:
        written = os.write(descriptor, data)
        while written < len(data):
            written += os.write(descriptor, memoryview(data)[written:])
    except OSError as error:
        raise Closed("the other side is gone") from error


def receive(descriptor: int) -> Any:
    """Read one message.

    Raises:
        Closed: the other side is gone, or what it says is too long, no JSON, or more than one message.
    """
    try:
        data = os.read(descriptor, READ)
        if len(data) < HEAD or len(data) < HEAD + _SIZE.unpack_from(data)[0]:
            data = _read_on(descriptor, bytearray(data))
    except OSError as error:
        raise Closed("the other side is gone") from error
    size = _SIZE.unpack_from(data)[0]
    if len(data) > HEAD + size:
        raise Closed("more than one message at a time")
    try:
        return wire.load(data[HEAD:])
    except (ValueError, RecursionError) as error:
        raise Closed("a message that cannot be read") from error


def _read_on(descriptor: int, data: bytearray) -> bytes:
    """Return a whole message, of which `data` is the start."""
    while len(data) < HEAD or len(data) < HEAD + (size := _SIZE.unpack_from(data)[0]):
        if len(data) >= HEAD and size > MAX_MESSAGE:
            raise Closed(f"a message of more than {MAX_MESSAGE >> 20} MiB")
        part = os.read(descriptor, 1 << 20)
        if not part:
            raise Closed("the other side is gone")
        data += part
    return bytes(data)


def read_all(descriptor: int) -> bytes:
    """Read a file from its start."""
    data = os.pread(descriptor, READ, 0)
    if len(data) == READ:
        data = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    return data
