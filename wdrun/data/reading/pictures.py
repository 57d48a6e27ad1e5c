"""Pictures as pixels: PNG and JPEG, one by one and whole folders of them."""

import io
from collections.abc import Iterable

import numpy as np

from wdrun.data.canonical import BadSource
from wdrun.data.reading.found import Images, check_table, size_of
from wdrun.data.reading.kinds import HEAD, kind_of
from wdrun.wording import first_line

SUFFIXES = (".png", ".jpg", ".jpeg")
PIXEL_LIMIT = 2**24  # of one picture, 4096×4096: more is a bomb, or made for eyes


def is_picture(name: str) -> bool:
    """Whether a file is one by its name, in any case."""
    return name.lower().endswith(SUFFIXES)


def pixels(content: bytes, name: str) -> Images:
    """The (H, W, C) pixels of a picture, C being 3, or 1 where it is grey; `name` is its path in the source."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=["PNG", "JPEG"]) as image:
            if image.width * image.height > PIXEL_LIMIT:
                raise BadSource(f"holds {name} of {image.width}×{image.height} pixels, more than {PIXEL_LIMIT} in all")
            if image.mode not in ("RGB", "L", "P", "1"):
                raise BadSource(
                    f"holds {name} of mode {image.mode}, which must be RGB or grey (L), without transparency"
                )
            plain = {"P": "RGB", "1": "L"}.get(image.mode, image.mode)
            found = np.array(image.convert(plain))  # a copy that can be written to, as tensors want it
    except (BadSource, MemoryError):
        raise
    except Exception as error:  # what a damaged picture raises is not documented
        kind = kind_of(content[:HEAD])
        why = "it is empty" if not content else kind.refusal.split(",")[0] if kind.refusal else first_line(error)
        raise BadSource(f"holds a damaged {name} ({why})") from error
    return found if found.ndim == 3 else found[..., None]


def stacked(contents: Iterable[tuple[str, bytes]], count: int) -> Images:
    """The (N, H, W, C) pixels of `count` pictures, each with its name; BadSource names the first of another size."""
    table: Images | None = None
    for row, (name, content) in enumerate(contents):
        image = pixels(content, name)
        if table is None:
            first = name
            check_table(count, image.shape)
            table = np.empty((count, *image.shape), dtype=np.uint8)
        if image.shape != table.shape[1:]:
            sizes = f"{name} of {size_of(image.shape)}, but {first} of {size_of(table.shape[1:])}"
            raise BadSource(f"holds {sizes}: must be alike: cut, scale or convert them first")
        table[row] = image
    assert table is not None
    return table
