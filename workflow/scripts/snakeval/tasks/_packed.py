"""Tests that a dataset packs into one text: base64 of zlib of a pickle of JSON, as LiveCodeBench's private ones.

A pickle is a program that may do anything. None is run here: its instructions are read, and nothing but a
single text is taken.
"""

from __future__ import annotations

import base64
import io
import pickletools
import zlib

MOST_BYTES = 2**30  # of what is unpacked
TEXT = frozenset(("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"))
AROUND = frozenset(("PROTO", "FRAME", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "STOP"))


class NotPacked(Exception):
    """It is no packed text; the message says what it is."""


def unpack(packed: str) -> str:
    """Return the text inside.

    Raises:
        NotPacked: it is packed in another way, unpacks to more than `MOST_BYTES`, or is no single text.
    """
    try:
        data = base64.b64decode(packed, validate=True)
    except ValueError as error:
        raise NotPacked(f"no base64 ({error})") from error
    unpacker = zlib.decompressobj()
    try:
        pickled = unpacker.decompress(data, MOST_BYTES)
    except zlib.error as error:
        raise NotPacked(f"no zlib data ({error})") from error
    if unpacker.unconsumed_tail:
        raise NotPacked(f"zlib data of more than {MOST_BYTES:,} bytes")
    if not unpacker.eof:
        raise NotPacked("zlib data that ends early")
    return _text(pickled)


def _text(pickled: bytes) -> str:
    """Return the one text that a pickle holds."""
    found: list[str] = []
    try:
        for instruction, argument, _ in pickletools.genops(io.BytesIO(pickled)):
            if instruction.name in TEXT:
                found.append(str(argument))
            elif instruction.name not in AROUND:
                raise NotPacked(f"a pickle with the instruction {instruction.name}")
    except ValueError as error:
        raise NotPacked(f"no pickle ({error})") from error
    if len(found) != 1:
        raise NotPacked(f"a pickle of {len(found)} texts")
    return found[0]
