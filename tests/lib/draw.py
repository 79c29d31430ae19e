"""draw.py: pictures for tests, drawn here: JPEGs of coloured 8 x 8 tiles, whole or damaged.

Only the DC coefficient of each block is coded, with a Huffman table of its own for the rest, so an
encoder fits on a page and every byte of the file is known.
"""

import random
import struct

# Annex K's table for luminance DC differences: codes by category 0..11.
_DC_LENGTHS = [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]
_DC_CODES = ["00", "010", "011", "100", "101", "110", "1110", "11110", "111110", "1111110",
             "11111110", "111111110"]  # fmt: skip
_END_OF_BLOCK = "0"


def segment(marker, data=b""):
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def frame(marker, width, height, components=3, precision=8):
    """SOFn: 0xC0 baseline, 0xC1 extended (12 bit), 0xC2 progressive."""
    data = struct.pack(">BHHB", precision, height, width, components)
    return segment(marker, data + b"".join(bytes([i + 1, 0x11, 0]) for i in range(components)))


def tables():
    quantisation = segment(0xDB, bytes([0]) + bytes([8] * 64))  # DC step 8: one gray level
    dc = segment(0xC4, bytes([0x00]) + bytes(_DC_LENGTHS) + bytes(range(12)))
    ac = segment(0xC4, bytes([0x10]) + bytes([1] + [0] * 15) + bytes([0]))
    return quantisation + dc + ac


def scan_header(components, progressive):
    data = bytes([components]) + b"".join(bytes([i + 1, 0x00]) for i in range(components))
    return segment(0xDA, data + bytes([0, 0 if progressive else 63, 0]))


def _pack(bits):
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return data.replace(b"\xff", b"\xff\x00")


def _difference(value):
    size = abs(value).bit_length()
    if size == 0:
        return _DC_CODES[0]
    return _DC_CODES[size] + format(value if value > 0 else value + (1 << size) - 1, f"0{size}b")


def _scan(blocks, components, rng, progressive):
    bits, last = [], [0] * components
    colour = [rng.randint(-100, 100) for _ in range(components)]
    for _ in range(blocks):
        for c in range(components):
            colour[c] = max(-128, min(127, colour[c] + rng.randint(-40, 40)))
            bits.append(_difference(colour[c] - last[c]))
            last[c] = colour[c]
            if not progressive:
                bits.append(_END_OF_BLOCK)
    return _pack("".join(bits))


def jpeg(width=320, height=240, seed=1, components=3, progressive=False, comment_bytes=0):
    """A valid JPEG. The same arguments give the same bytes. comment_bytes makes the file larger."""
    rng = random.Random(seed)
    blocks = -(-width // 8) * -(-height // 8)
    comments = b""
    while comment_bytes > 0:
        comments += segment(0xFE, b"." * min(comment_bytes, 60000))
        comment_bytes -= 60000
    return (
        b"\xff\xd8" + comments + tables()
        + frame(0xC2 if progressive else 0xC0, width, height, components)
        + scan_header(components, progressive) + _scan(blocks, components, rng, progressive)
        + b"\xff\xd9"
    )  # fmt: skip


def flat(width, height, components=3, progressive=False):
    """One colour, and yet all of its blocks are there: every difference is zero, which is coded in
    zero bits. As large as one likes, at once."""
    bits = -(-width // 8) * -(-height // 8) * components * (2 if progressive else 3)
    return (
        b"\xff\xd8" + tables() + frame(0xC2 if progressive else 0xC0, width, height, components)
        + scan_header(components, progressive) + bytes(-(-bits // 8)) + b"\xff\xd9"
    )  # fmt: skip


def header_only(width, height, marker=0xC0, components=3, precision=8):
    """What a bomb looks like: a header that promises much, and a scan with nothing in it."""
    return (
        b"\xff\xd8" + tables() + frame(marker, width, height, components, precision)
        + scan_header(components, marker == 0xC2) + b"\xff\xd9"
    )  # fmt: skip
