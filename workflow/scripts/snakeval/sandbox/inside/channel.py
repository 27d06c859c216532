"""Messages over a socket: four bytes of length, then JSON."""

from __future__ import annotations

import os
import struct
from typing import Any

from . import wire

MAX_MESSAGE = 32 << 20  # bytes


class Closed(Exception):
    """The other side is gone, or says what cannot be read."""


def send(descriptor: int, form: Any) -> None:
    """Write one message.

    Raises:
        Closed: the other side is gone.
    """
    body = wire.dump(form)
    data = memoryview(struct.pack("=I", len(body)) + body)
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError as error:
        raise Closed("the other side is gone") from error


def receive(descriptor: int) -> Any:
    """Read one message.

    Raises:
        Closed: the other side is gone, or what it says is too long or no JSON.
    """
    size = struct.unpack("=I", _read(descriptor, 4))[0]
    if size > MAX_MESSAGE:
        raise Closed(f"a message of more than {MAX_MESSAGE >> 20} MiB")
    try:
        return wire.load(_read(descriptor, size))
    except (ValueError, RecursionError) as error:
        raise Closed("a message that cannot be read") from error


def _read(descriptor: int, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        try:
            part = os.read(descriptor, min(size - len(data), 1 << 20))
        except OSError as error:
            raise Closed("the other side is gone") from error
        if not part:
            raise Closed("the other side is gone")
        data += part
    return bytes(data)


def read_all(descriptor: int) -> bytes:
    """Read a file from its start."""
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0) if size else b""
