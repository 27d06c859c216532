"""Images that samples show: which are taken, and how an engine gets them.

An image is a file named by the SHA-256 of its bytes, `{sha256}.png` and so on, so that its name says what it
holds. Whoever wrote the rows may have written anything: size, pixels and formats are limited, and an image is
decoded once before it is kept.
"""

from __future__ import annotations

import hashlib
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

MAX_BYTES = 64 * 2**20
SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "TIFF": ".tif", "GIF": ".gif"}
EXPECTED = f"an image ({', '.join(SUFFIXES)}) of at most {MAX_BYTES >> 20} MiB"


def folder_beside(rows: Path) -> Path:
    """Return the folder that holds the images which a file of rows names: `a/b` for `a/b.jsonl`."""
    return rows.with_name(Path(rows.name.removesuffix(".gz")).stem)


def folder_kept(samples: Path) -> Path:
    """Return where the images of a dataset's samples are kept."""
    return samples.with_name("images")


def file_name(data: bytes) -> str:
    """Return the name of an image's file, after decoding it.

    Raises:
        ValueError: it is none that is taken; the text says what was found.
    """
    image = _opened(data)
    _rgb(image)
    # A JPEG with several pictures in it, as phones write them, is an MPO.
    return hashlib.sha256(data).hexdigest() + SUFFIXES.get(image.format, ".jpg")


def load(path: Path) -> Any:
    """Return a kept image as a PIL image in RGB: its first frame, upright, on white.

    Raises:
        ValueError: the file is missing, or is not what its name says.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from error
    if hashlib.sha256(data).hexdigest() != path.stem:
        raise ValueError(f"{path}: its bytes are not those that its name stands for")
    return _rgb(_opened(data))


def _opened(data: bytes) -> Any:
    from PIL import Image, UnidentifiedImageError

    if len(data) > MAX_BYTES:
        raise ValueError(f"{len(data) / 2**20:.0f} MiB")
    try:
        with warnings.catch_warnings():
            # Pillow only warns from its limit to twice that.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(BytesIO(data), formats=list(SUFFIXES))
            image.load()
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise ValueError(f"more than {Image.MAX_IMAGE_PIXELS:,} pixels") from error
    except UnidentifiedImageError as error:
        raise ValueError(f"{len(data):,} bytes of another kind") from error
    except Exception as error:  # the decoders raise nearly anything on broken bytes
        raise ValueError(f"a broken image ({type(error).__name__}: {error})"[:300]) from error
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"an image of the mode {image.mode}, more than 8 bits a channel")
    return image


def _rgb(image: Any) -> Any:
    from PIL import Image, ImageOps

    try:
        image = ImageOps.exif_transpose(image)
        if image.has_transparency_data:
            ground = Image.new("RGBA", image.size, "white")
            ground.alpha_composite(image.convert("RGBA"))
            image = ground
        return image.convert("RGB")
    except Exception as error:  # broken EXIF, colour tables, …
        raise ValueError(f"a broken image ({type(error).__name__}: {error})"[:300]) from error
