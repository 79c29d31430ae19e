"""png.py: PNGs of every kind, written here from samples: any colour type, depth, interlace, chunk."""

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6
SAMPLES = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGBA: 4}
DEPTHS = {GRAY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GRAY_ALPHA: (8, 16),
          RGBA: (8, 16)}  # fmt: skip
# x0, y0, dx, dy of each pass
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
         (0, 1, 1, 2))  # fmt: skip


def chunk(kind, data=b""):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width, height, depth, colour, interlaced=False):
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))


def packed(samples, depth):
    """One row's samples as bytes."""
    if depth == 16:
        return struct.pack(f">{len(samples)}H", *samples)
    bits = "".join(format(sample, f"0{depth}b") for sample in samples)
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def rows(pixels, depth, interlaced):
    """pixels: rows of tuples of samples -> what is deflated, filter bytes included."""
    out = []
    for x0, y0, dx, dy in ADAM7 if interlaced else ((0, 0, 1, 1),):
        for row in pixels[y0::dy]:
            if part := row[x0::dx]:
                out.append(b"\0" + packed([sample for pixel in part for sample in pixel], depth))
    return b"".join(out)


def image(pixels, depth, colour, interlaced=False, before=b"", after=b""):
    """before, after: chunks on both sides of the rows."""
    data = zlib.compress(rows(pixels, depth, interlaced))
    start = header(len(pixels[0]), len(pixels), depth, colour, interlaced)
    return SIGNATURE + start + before + chunk(b"IDAT", data) + after + chunk(b"IEND")


def drawing(width, height, depth, colour, seed=1, below=None):
    """Gradients, edges and noise in every sample; below: palette indices stay below it."""
    top = below or 1 << depth
    out = []
    for y in range(height):
        row = []
        for x in range(width):
            pixel = []
            for s in range(SAMPLES[colour]):
                seed = (seed * 1664525 + 1013904223) % 2**32
                share = (x * (s + 2) + y * 3 + (x // 7 + y // 5) % 3 * 40) % 256 / 256
                pixel.append(int((share * 0.8 + (seed >> 16) / 65536 * 0.2) * top) % top)
            row.append(tuple(pixel))
        out.append(row)
    return out


def exif(orientation):
    return struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, 0x112, 3, 1, orientation, 0, 0)
