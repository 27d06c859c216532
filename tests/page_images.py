"""Made-up pages as images, and a tokenizer for a model that takes them."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

FORMATS = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "TIFF": ".tif", "GIF": ".gif"}


def drawn(colour: str = "white", size: tuple[int, int] = (40, 30), mode: str = "RGB") -> Any:
    """Return a page with a black rectangle on its upper left."""
    image = Image.new(mode, size, colour)
    ImageDraw.Draw(image).rectangle((0, 0, size[0] // 2, size[1] // 2), fill="black")
    return image


def encoded(image: Any, kind: str = "PNG", **options: Any) -> bytes:
    """Return the bytes of an image's file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def page(colour: str = "white", kind: str = "PNG") -> bytes:
    """Return the bytes of a page's file."""
    return encoded(drawn(colour), kind)


def bomb(width: int, height: int) -> bytes:
    """Return a PNG of a hundred bytes that says it has so many pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        checked = name + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    )


# As the makers of models for images write them: contents are texts or lists of parts.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>\n"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def prepare_tokenizer(folder: Path, template: str = CHAT_TEMPLATE, markup: bool = True) -> None:
    """Give the tokenizer of tests/fixtures in a folder a chat template, and a control token for images."""
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": template}))
    state = json.loads((folder / "tokenizer.json").read_text())
    number = max(token["id"] for token in state["added_tokens"]) + 1
    if markup:
        token = {**state["added_tokens"][0], "id": number, "content": "<image>", "special": True}
        state["added_tokens"].append(token)
    (folder / "tokenizer.json").write_text(json.dumps(state))
