"""A TIFF strip by strip: a few of its strips are read as a TIFF of their own, so there never is a whole canvas."""

import io
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate

from PIL import Image as PillowImage
from PIL.ExifTags import Base as Tag
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from pyrite.image.files import File

_MIN_PIXELS = 1 << 20
_MIN_DOWN = 8  # rows of strips or tiles; with fewer there is little to gain.
_COMPRESSIONS = {1, 5, 7, 8, 32773, 32946}  # none, LZW, JPEG, Deflate, PackBits, Deflate as it was
_SAME = (
    Tag.ImageWidth,
    Tag.BitsPerSample,
    Tag.Compression,
    Tag.PhotometricInterpretation,
    Tag.FillOrder,
    Tag.SamplesPerPixel,
    Tag.Predictor,
    Tag.ColorMap,
    Tag.TileWidth,
    Tag.ExtraSamples,
    Tag.SampleFormat,
    Tag.JPEGTables,
    Tag.YCbCrCoefficients,
    Tag.YCbCrSubSampling,
    Tag.YCbCrPositioning,
    Tag.ReferenceBlackWhite,
)


@dataclass(frozen=True, slots=True)
class Strips:
    """The strips of a TIFF, or its tiles, those side by side as one."""

    width: int
    height: int
    rows: int
    """Of pixels, in each of them; the last may have fewer."""
    across: int
    """How many tiles there are side by side; 1 for strips."""
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    """In bytes."""
    tags: ImageFileDirectory_v2
    """The image's own."""
    file: File

    def read(self, top: int, end: int) -> PillowImage.Image:
        """Return the image from one row up to another."""
        first, last = top // self.rows, -(-end // self.rows)
        height = min(last * self.rows, self.height) - first * self.rows
        part = slice(first * self.across, last * self.across)
        with TiffImageFile(io.BytesIO(self._file_of(part, height))) as image:
            image.load()
        start = first * self.rows
        return image.crop((0, top - start, self.width, end - start))

    def _file_of(self, part: slice, height: int) -> bytes:
        sizes = self.sizes[part]
        tags = ImageFileDirectory_v2(prefix=self.tags.prefix)
        for tag in _SAME:
            if tag in self.tags:
                tags[tag] = self.tags[tag]
        tiled = Tag.TileWidth in tags
        tags[Tag.ImageLength] = height
        tags[Tag.TileLength if tiled else Tag.RowsPerStrip] = self.rows
        tags[Tag.TileByteCounts if tiled else Tag.StripByteCounts] = sizes
        offsets = tuple(accumulate(sizes[:-1], initial=0))
        tags[Tag.TileOffsets if tiled else Tag.StripOffsets] = offsets
        if tiled:
            # Pillow moves strips past the tags by itself, but not tiles.
            end = 8 + len(tags.tobytes(8))
            tags[Tag.TileOffsets] = tuple(end + offset for offset in offsets)
        stream = io.BytesIO()
        tags.save(stream)
        for offset, size in zip(self.offsets[part], sizes, strict=True):
            self.file.seek(offset)
            stream.write(self.file.read(size))
        return stream.getvalue()


def find_strips(image: TiffImageFile, file: File) -> Strips | None:
    """Return the strips of an image that was not loaded yet; `None` where it had better be loaded at once."""
    with suppress(Exception):  # Damaged tags may be of any type.
        strips = _find_strips(image.tag_v2, file)
        down = -(-strips.height // strips.rows)
        if (
            strips.width * strips.height >= _MIN_PIXELS
            and down >= _MIN_DOWN
            and image.tag_v2.get(Tag.Compression, 1) in _COMPRESSIONS
            and image.tag_v2.get(Tag.PlanarConfiguration, 1) == 1
            and len(strips.offsets) == len(strips.sizes) == strips.across * down
            and sum(strips.sizes) <= file.size  # Otherwise they overlap, and could take any amount of memory.
            and strips.read(0, 1).mode == image.mode  # Sizes may be wrong from the first, and Pillow not need them.
        ):
            return strips
    return None


def _find_strips(tags: ImageFileDirectory_v2, file: File) -> Strips:
    width, height = tags[Tag.ImageWidth], tags[Tag.ImageLength]
    if Tag.TileWidth not in tags:
        offsets, sizes = tags[Tag.StripOffsets], tags[Tag.StripByteCounts]
        return Strips(width, height, tags[Tag.RowsPerStrip], 1, offsets, sizes, tags, file)
    offsets, sizes = tags[Tag.TileOffsets], tags[Tag.TileByteCounts]
    across = -(-width // tags[Tag.TileWidth])
    return Strips(width, height, tags[Tag.TileLength], across, offsets, sizes, tags, file)
