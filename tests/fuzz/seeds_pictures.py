"""seeds_pictures.py: seeds of the decoders: pictures of every kind, drawn here or by Pillow."""

import io
import os
import struct
import sys

import draw
import png as pngs

try:
    from PIL import Image
except ImportError:
    DEBIAN = "/usr/bin/python3"  # the one that Debian's packages belong to
    if sys.executable == DEBIAN or not os.path.exists(DEBIAN):
        raise
    os.execv(DEBIAN, [DEBIAN, *sys.argv])


def canvas(width, height, mode="RGB"):
    """Gradients and edges."""
    image = Image.new("RGB", (width, height))
    image.putdata([((x * 5) % 256, (y * 7) % 256, 255 * ((x // 6 + y // 5) % 2))
                   for y in range(height) for x in range(width)])  # fmt: skip
    if mode in ("RGBA", "LA"):
        image = image.convert(mode)
        image.putalpha(Image.linear_gradient("L").resize((width, height)))
    return image.convert(mode)


def encoded(image, kind, **settings):
    out = io.BytesIO()
    image.save(out, kind, **settings)
    return out.getvalue()


def tiff(orientation, big=False, kind=3, count=1, entries=1):
    order = ">" if big else "<"
    head = struct.pack(order + "2sHIH", b"MM" if big else b"II", 42, 8, entries)
    value = struct.pack(order + "HH", orientation, 0)
    return head + struct.pack(order + "HHI", 0x112, kind, count) + value + bytes(4)


def exif():
    return {
        **{f"orientation-{i}": tiff(i, i % 2 == 0) for i in range(10)},
        "with-name": b"Exif\0\0" + tiff(6),
        "another-type": tiff(3, kind=4),
        "two-values": tiff(3, count=2),
        "second-entry": struct.pack("<2sHIH", b"II", 42, 8, 2) + struct.pack("<HHII", 256, 3, 1, 9)
        + tiff(8)[10:],
        "many-entries": tiff(6, entries=65535),
        "cut": tiff(6)[:-9],
        "offset-far": struct.pack("<2sHI", b"II", 42, 0xFFFFFFFF),
        "offset-later": struct.pack("<2sHII", b"II", 42, 12, 0) + tiff(5)[8:],
        "type-0": tiff(6, kind=0), "beyond": struct.pack("<2sHI", b"II", 42, 26), "tag-before": tiff(6, entries=0),
        "not-42": struct.pack("<2sHI", b"II", 43, 8),
        "order": b"IM" + tiff(6)[2:],
        "short": b"II*",
    }  # fmt: skip


def with_app1(jpeg, content):
    return jpeg[:2] + draw.segment(0xE1, content) + jpeg[2:]


def jpeg():
    small, colour = canvas(40, 36), canvas(96, 80)
    plain = encoded(small, "JPEG", quality=80)
    out = {
        "plain": plain,
        "444": encoded(colour, "JPEG", subsampling=0),
        "422": encoded(colour, "JPEG", subsampling=1),
        "420": encoded(colour, "JPEG", subsampling=2, quality=30),
        "gray": encoded(canvas(70, 50, "L"), "JPEG"),
        "cmyk": encoded(canvas(40, 30, "CMYK"), "JPEG"),
        "progressive": encoded(colour, "JPEG", progressive=True),
        "progressive-gray": encoded(canvas(33, 17, "L"), "JPEG", progressive=True),
        "optimised": encoded(colour, "JPEG", optimize=True, quality=95),
        "tiles": draw.jpeg(64, 48, 3), "tiles-gray": draw.jpeg(64, 64, 4, 1),
        "four-components": draw.jpeg(32, 32, 5, 4), "two-components": draw.jpeg(16, 16, 6, 2),
        "bomb": draw.header_only(65000, 65000),
        "progressive-bomb": draw.header_only(500, 500, 0xC2),
        "12-bit": draw.header_only(16, 16, 0xC1, 3, 12),
        "no-width": draw.header_only(0, 16), "no-height": draw.header_only(16, 0),
        "cut-in-scan": plain[: len(plain) * 3 // 4], "cut-in-header": plain[:100],
        "no-end": plain[:-2], "soi": plain[:3],
        "damaged": plain[:-60] + b"\x55" * 30 + plain[-30:],
        "exif": with_app1(plain, b"Exif\0\0" + tiff(6, True)),
        "exif-without-nul": with_app1(plain, b"Exif\1\0" + tiff(6)),
        "exif-cut": with_app1(plain, b"Exif\0"),
        "not-exif": with_app1(with_app1(plain, b"Exif\0\0" + tiff(5)), b"http://ns.adobe.com/xap/1.0/\0"),
        "fill-bytes": plain[:2] + b"\xff\xff\xff" + plain[2:],
        "tem": plain[:2] + b"\xff\x01" + plain[2:],
        "segment-too-long": plain[:2] + b"\xff\xe5\xff\xff" + plain[4:300],
        "many-scans": many_scans(encoded(canvas(24, 24), "JPEG", progressive=True), 250),
        "progressive-cut": encoded(colour, "JPEG", progressive=True)[:-400],
        "progressive-no-end": encoded(colour, "JPEG", progressive=True)[:-2],
        "16-bit-tables": plain[:4] + plain[4:].replace(b"\xff\xdb\0\x43\0", b"\xff\xdb\0\x43\x10", 1),
        "no-tables": draw.jpeg(24, 24)[:2] + draw.frame(0xC0, 24, 24) + draw.scan_header(3, False) + b"\0\xff\xd9",
        "arithmetic": draw.header_only(64, 64, 0xC9), "lossless": draw.header_only(64, 64, 0xC3),
        "two-frames": plain[:-2] + plain[2:], "after-the-end": plain + b"\xff\xff\xff\xd9", "end-in-data": plain[:-2] + b"\xff\x11\xff\x12" + b"\xff\xd9",
        "12-bit-baseline": draw.header_only(16, 16, 0xC0, 3, 12), "sampling-4": sampled(0x41), "sampling-3": sampled(0x31),
        "sampling-2-1": sampled(0x22, 0x21), "sampling-chroma": sampled(0x11, 0x22), "too-wide": draw.header_only(65501, 8),
        "large-gray": draw.jpeg(160, 150, 8, 1), "large": draw.jpeg(150, 170, 9), "large-420": encoded(canvas(150, 140), "JPEG", subsampling=2),
        "large-422": encoded(canvas(150, 140), "JPEG", subsampling=1), "large-restarts": encoded(canvas(150, 140), "JPEG", restart_marker_blocks=4),
        "large-restarts-wrong": encoded(canvas(150, 140), "JPEG", restart_marker_blocks=4).replace(b"\xff\xd1", b"\xff\xd5", 1),
        "large-damaged": draw.jpeg(150, 150)[:900] + b"\xff" * 40 + draw.jpeg(150, 150)[940:],
        "restarts": restarts(40, 3),
    }  # fmt: skip
    for orientation in range(1, 9):
        turned = with_app1(draw.jpeg(24, 40, orientation), b"Exif\0\0" + tiff(orientation))
        out[f"orientation-{orientation}"] = turned
    return out


def sampled(first, other=0x11):
    """The factors of the components are these."""
    picture = bytearray(draw.jpeg(64, 64))
    at = picture.index(b"\xff\xc0") + 10
    picture[at + 1], picture[at + 4], picture[at + 7] = first, other, other
    return bytes(picture)


def restarts(side, interval):
    """A tiled square with a restart marker after so many units."""
    units, scans = (side // 8) ** 2, []
    for number in range(-(-units // interval)):
        tiles = draw.jpeg(8 * min(interval, units - number * interval), 8, number + 1)
        scans.append(tiles[tiles.index(b"\xff\xda") + 14 : -2])
    data = scans[0]
    for number, scan in enumerate(scans[1:]):
        data += bytes([0xFF, 0xD0 + number % 8]) + scan
    frame = draw.frame(0xC0, side, side) + draw.segment(0xDD, struct.pack(">H", interval))
    return b"\xff\xd8" + draw.tables() + frame + draw.scan_header(3, False) + data + b"\xff\xd9"


def many_scans(picture, times):
    """The last scan again and again."""
    last = picture.rindex(b"\xff\xda")
    return picture[:-2] + picture[last:-2] * times + picture[-2:]


def png():
    out = {}
    for colour, depths in pngs.DEPTHS.items():
        for depth in depths:
            for interlaced in (False, True):
                below = min(1 << depth, 16) if colour == pngs.PALETTE else None
                palette = pngs.chunk(b"PLTE", bytes(range(48))) if colour == pngs.PALETTE else b""
                picture = pngs.drawing(20, 18, depth, colour, below=below)
                name = f"{colour}-{depth}" + "-interlaced" * interlaced
                out[name] = pngs.image(picture, depth, colour, interlaced, palette)
    rgb = pngs.drawing(30, 30, 8, pngs.RGB)
    indexed = pngs.drawing(30, 30, 8, pngs.PALETTE, below=16)
    whole = pngs.image(rgb, 8, pngs.RGB)
    palette = pngs.chunk(b"PLTE", bytes(range(48)))
    out.update({
        "trns-palette": pngs.image(indexed, 8, pngs.PALETTE,
                                   before=palette + pngs.chunk(b"tRNS", bytes(range(0, 160, 10)))),
        "trns-rgb": pngs.image(rgb, 8, pngs.RGB, before=pngs.chunk(b"tRNS", bytes(6))),
        "exif-before": pngs.image(rgb, 8, pngs.RGB, before=pngs.chunk(b"eXIf", pngs.exif(6))),
        "exif-after": pngs.image(rgb, 8, pngs.RGB, after=pngs.chunk(b"eXIf", pngs.exif(3))),
        "text": pngs.image(rgb, 8, pngs.RGB, before=pngs.chunk(b"tEXt", b"a\0b")
                           + pngs.chunk(b"zTXt", b"a\0\0x") + pngs.chunk(b"iCCP", b"a\0\0x")),
        "by-pillow": encoded(canvas(50, 40, "RGBA"), "PNG"),
        "gray-alpha": encoded(canvas(20, 20, "LA"), "PNG"),
        "cut-in-rows": whole[: len(whole) // 2], "cut-in-header": whole[:20],
        "bomb": pngs.SIGNATURE + pngs.header(2**31 - 1, 2**31 - 1, 16, pngs.RGBA)
        + pngs.chunk(b"IDAT", b"x"),
        "interlaced-bomb": pngs.SIGNATURE + pngs.header(511, 511, 16, pngs.RGBA, True)
        + pngs.chunk(b"IDAT", b"x"),
        "palette-missing": pngs.image(indexed, 8, pngs.PALETTE),
        "chunk-too-long": whole[:33] + b"\x7f\xff\xff\xffIDAT" + whole[41:],
        "no-size": pngs.SIGNATURE + pngs.header(0, 5, 8, 2),
    })  # fmt: skip
    return out


def webp():
    small = canvas(30, 26)
    frames = [canvas(24, 24, "RGBA"), canvas(24, 24, "RGBA").rotate(90)]
    lossy = encoded(small, "WEBP", quality=60)
    out = {
        "lossy": lossy,
        "lossless": encoded(small, "WEBP", lossless=True),
        "lossy-alpha": encoded(canvas(30, 26, "RGBA"), "WEBP", quality=50),
        "lossless-alpha": encoded(canvas(30, 26, "RGBA"), "WEBP", lossless=True),
        "animated": encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
        "exif": encoded(small, "WEBP", exif=b"Exif\0\0" + tiff(6)),
        "exif-icc": encoded(small, "WEBP", exif=b"Exif\0\0" + tiff(3), icc_profile=b"p" * 200),
        "riff": lossy[:12], "cut": lossy[: len(lossy) // 2], "not-riff": b"RIFX" + lossy[4:],
        "empty-chunks": b"RIFF" + struct.pack("<I", 400) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(10)
        + b"ABCD\0\0\0\0" * 46,
    }  # fmt: skip
    vp8 = lossy.index(b"VP8 ")
    damaged = bytearray(out["lossless"])
    damaged[30:60] = b"\xff" * 30
    out["lossless-damaged"] = bytes(damaged)
    out["frame-size-wrong"] = lossy[:vp8 + 14] + b"\x10\0\x10\0" + lossy[vp8 + 18 :]
    out["partition-cut"] = lossy[:vp8 + 8] + b"\xf0\xff\x07" + lossy[vp8 + 11 :]
    out["data-gone"] = lossy[: vp8 + 60] + bytes(len(lossy) - vp8 - 60)
    out["lossless-gone"] = out["lossless"][:40] + bytes(len(out["lossless"]) - 40)
    header, canvas_part = out["animated"][:20], bytearray(out["animated"][20:])
    canvas_part[4] += 9  # the canvas is wider than its frame
    canvas_part[7] += 9
    out["animated-smaller-frame"] = header + bytes(canvas_part)
    out["animated-opaque"] = header + bytes([canvas_part[0] & ~0x10]) + bytes(canvas_part[1:])
    return out


DRAWN = {"exif": exif, "jpeg": jpeg, "png": png, "webp": webp}
