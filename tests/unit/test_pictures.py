"""Images of samples: which are taken, what is left of them, and what is refused."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import pytest
from page_images import FORMATS, bomb, drawn, encoded, page
from PIL import Image
from snakeval import pictures


def kept(folder: Path, data: bytes) -> Path:
    path = folder / pictures.file_name(data)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", FORMATS)
def test_an_image_is_named_by_its_content_and_comes_back(kind: str, tmp_path: Path) -> None:
    data = page("red", kind)
    path = kept(tmp_path, data)
    assert path.name == hashlib.sha256(data).hexdigest() + FORMATS[kind]
    image = pictures.load(path)
    assert (image.mode, image.size) == ("RGB", (40, 30))
    red, green, blue = image.getpixel((35, 25))
    assert red > 240 > 40 > max(green, blue)
    assert max(image.getpixel((5, 5))) < 40


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.putpixel((0, 0), (10, 20, 30, 255))
    shown = pictures.load(kept(tmp_path, encoded(image)))
    assert shown.getpixel((3, 3)) == (255, 255, 255)
    assert shown.getpixel((0, 0)) == (10, 20, 30)


def test_a_page_that_was_turned_by_its_camera_is_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its left side
    shown = pictures.load(kept(tmp_path, encoded(drawn("red"), "JPEG", exif=exif)))
    assert shown.size == (30, 40)
    assert max(shown.getpixel((25, 5))) < 60  # the black corner


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP"])
def test_of_several_frames_the_first_is_shown(kind: str, tmp_path: Path) -> None:
    data = encoded(drawn("red"), kind, save_all=True, append_images=[drawn("blue")])
    red, _, blue = pictures.load(kept(tmp_path, data)).getpixel((35, 25))
    assert red > 200 > 50 > blue


def test_a_scan_of_one_bit_a_pixel_is_taken(tmp_path: Path) -> None:
    data = encoded(drawn("white", mode="1"), "TIFF", compression="group4")
    assert pictures.load(kept(tmp_path, data)).getpixel((35, 25)) == (255, 255, 255)


@pytest.mark.filterwarnings("default")  # as where it is used
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "0 bytes of another kind"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "41 bytes of another kind"),
        (encoded(drawn(), "BMP"), "of another kind"),
        (encoded(drawn(), "PDF"), "of another kind"),
        (page()[:70], "a broken image"),
        (page(kind="JPEG")[:400], "a broken image"),
        (bomb(40_000, 40_000), "more than 89,478,485 pixels"),
        (bomb(10_000, 10_000), "more than 89,478,485 pixels"),  # Pillow itself only warns
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 64 * 2**20, "64 MiB"),
        (encoded(Image.new("I;16", (4, 4))), "mode I;16, more than 8 bits"),
        (encoded(Image.new("F", (4, 4)), "TIFF"), "mode F, more than 8 bits"),
    ],
)
def test_what_is_no_page_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        pictures.file_name(data)
    assert "0x" not in str(caught.value)  # an address would differ from run to run


@pytest.mark.filterwarnings("ignore")  # Pillow warns of odd metadata
@pytest.mark.parametrize("kind", FORMATS)
def test_bytes_that_were_changed_are_refused_or_shown(kind: str) -> None:
    draw = random.Random(5)
    data, refused = page("red", kind), 0
    for _ in range(300):
        broken = bytearray(data)
        for _ in range(draw.randint(1, 8)):
            broken[draw.randrange(len(broken))] = draw.randrange(256)
        try:
            assert pictures.file_name(bytes(broken))
        except ValueError:
            refused += 1
    assert refused


def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path) -> None:
    path = kept(tmp_path, page("red"))
    path.write_bytes(page("blue"))
    with pytest.raises(ValueError, match="its bytes are not those that its name stands for"):
        pictures.load(path)
    path.unlink()
    with pytest.raises(ValueError, match="No such file"):
        pictures.load(path)


@pytest.mark.parametrize("name", ["d.jsonl", "d.jsonl.gz", "d.parquet"])
def test_images_lie_in_the_folder_called_as_the_rows(name: str) -> None:
    assert pictures.folder_beside(Path("rows", name)) == Path("rows", "d")


def test_a_phones_picture_is_a_jpeg(tmp_path: Path) -> None:
    data: Any = encoded(drawn("red"), "MPO", save_all=True, append_images=[drawn("blue")])
    path = kept(tmp_path, data)
    assert path.suffix == ".jpg"
    assert pictures.load(path).getpixel((35, 25))[0] > 240
