#!/usr/bin/env python3
"""PNG and WebP of every kind: the very crop that Pillow makes of the same file, transparent parts
over white; and PNG and lossless WebP of the same pixels have the same answer."""
# timeout: 300

import ast
import io
import os
import subprocess
import sys
import tempfile

import png
import service
import tap

try:
    from PIL import Image, ImageOps, features
except ImportError:
    DEBIAN = "/usr/bin/python3"  # the one that Debian's packages belong to
    if sys.executable != DEBIAN and os.path.exists(DEBIAN):
        os.execv(DEBIAN, [DEBIAN, *sys.argv])
    tap.skip_all("Pillow (python3-pil) is not here")

SIZES = ((301, 260), (240, 311))


# ---- what Pillow makes of it ---------------------------------------------------------------------


def as_rgb(image, data):
    """Pillow's pixels. Of 16-bit gray its own conversion cuts everything above 255 to white; the
    upper eight bits, which it takes of all other 16-bit samples, are what is expected here."""
    if image.mode.startswith("I"):
        image = Image.frombytes("L", image.size, bytes(v >> 8 for v in image.getdata()))
    if image.mode in ("LA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def crop(data):
    image = Image.open(io.BytesIO(data))
    turned = ImageOps.exif_transpose(image)
    turned.info.update({k: v for k, v in image.info.items() if k == "transparency"})
    image = as_rgb(turned, data)
    w, h = image.size
    shorter = min(w, h)
    w, h = int(256 * w / shorter), int(256 * h / shorter)
    image = image.resize((w, h), Image.BILINEAR)
    left, top = round((w - 224) / 2), round((h - 224) / 2)
    return image.crop((left, top, left + 224, top + 224)).tobytes()


# ---- what resnet-classify makes of it ------------------------------------------------------------


def classify(files):
    """files: [(name, bytes)] -> ({name: crop}, {name: lines}, what was said)"""
    with tempfile.TemporaryDirectory(prefix="pillow-") as directory:
        paths = []
        for name, data in files:
            paths.append(os.path.join(directory, name))
            with open(paths[-1], "wb") as file:
                file.write(data)
        out = os.path.join(directory, "crops.npy")
        command = [service.program("resnet-classify"), "-m", service.small_model(), "--dump-crop", out]
        done = subprocess.run(
            [*command, *paths], env=service.clean_environment(), capture_output=True, text=True,
            timeout=280,
        )  # fmt: skip
        lines = {}
        for line in done.stdout.splitlines():
            path, rest = line.split("\t", 1)
            lines.setdefault(os.path.basename(path), []).append(rest)
        with open(out, "rb") as file:
            head = file.read(10)
            shape = ast.literal_eval(file.read(head[8] | head[9] << 8).decode())["shape"]
            crops = [file.read(224 * 224 * 3) for _ in range(shape[0])]
    names = [name for name, _ in files if name in lines]
    return dict(zip(names, crops)), lines, done.stderr


def compare(files, what):
    crops, lines, said = classify(files)
    tap.ok(len(crops) == len(files), f"{what}: {len(files)} pictures, as many answers", said)
    wrong = []
    for name, data in files:
        expected, found = crop(data), crops.get(name, b"")
        if found != expected:
            furthest = max((abs(a - b) for a, b in zip(found, expected)), default=None)
            wrong.append(f"{name}: differs by up to {furthest}")
    tap.equal(wrong, [], f"{what}: Pillow's pixels")
    return lines


# ---- pictures ------------------------------------------------------------------------------------


def ramp(entries):
    return b"".join(bytes([(i * 37) % 256, (i * 91 + 40) % 256, 255 - i % 256]) for i in range(entries))


def png_kinds():
    """Every colour type, depth and interlace."""
    files = []
    for colour, depths in png.DEPTHS.items():
        for depth in depths:
            for interlaced in (False, True):
                width, height = SIZES[interlaced]
                pixels = png.drawing(width, height, depth, colour)
                before = png.chunk(b"PLTE", ramp(1 << depth)) if colour == png.PALETTE else b""
                name = f"type{colour}-{depth}bit{'-interlaced' if interlaced else ''}.png"
                files.append((name, png.image(pixels, depth, colour, interlaced, before)))
    compare(files, "PNG")


def transparency():
    """tRNS in its three forms. Pillow compares gray and colour keys of 8 bits only, as they are."""
    gray = png.drawing(301, 260, 8, png.GRAY)
    gray[3][4] = gray[130][140] = (77,)
    colour = png.drawing(301, 260, 8, png.RGB)
    for x in range(100, 200):
        colour[130][x] = (1, 2, 3)
    files = [
        ("gray.png", png.image(gray, 8, png.GRAY, before=png.chunk(b"tRNS", b"\0\x4d"))),
        ("rgb.png", png.image(colour, 8, png.RGB, before=png.chunk(b"tRNS", b"\0\1\0\2\0\3"))),
    ]
    for depth in png.DEPTHS[png.PALETTE]:
        entries = 1 << depth
        pixels = png.drawing(240, 311, depth, png.PALETTE)
        for i, alphas in enumerate((bytes(range(0, 255, 256 // entries))[:entries], b"\0", b"\x80\xff\x20"[:entries])):
            before = png.chunk(b"PLTE", ramp(entries)) + png.chunk(b"tRNS", alphas)
            files.append((f"palette-{depth}-{i}.png", png.image(pixels, depth, png.PALETTE,
                                                                          before=before)))  # fmt: skip
    compare(files, "tRNS")


def ignored_and_not():
    """Gamma and profiles change nothing; orientation does, wherever its chunk is; of an APNG the
    default image counts; a short palette, and indices past it."""
    pixels = png.drawing(301, 260, 8, png.RGB)
    few = png.drawing(301, 260, 4, png.PALETTE, below=5)
    animation = png.chunk(b"acTL", b"\0\0\0\2\0\0\0\0")
    frame = b"\0\0\1\x2d\0\0\1\4\0\0\0\0\0\0\0\0\0\1\0\x0a\0\0"  # 301 x 260 at 0, 0
    first = png.chunk(b"fcTL", b"\0\0\0\0" + frame)
    second = png.chunk(b"fcTL", b"\0\0\0\1" + frame)
    rest = second + png.chunk(b"fdAT", b"\0\0\0\2" + b"never looked at")
    profile = png.chunk(b"iCCP", b"name\0\0" + b"not a profile at all")
    gamma = png.chunk(b"gAMA", b"\0\0\x4e\x20") + png.chunk(b"cHRM", bytes(32))
    files = [
        ("gamma.png", png.image(pixels, 8, png.RGB, before=gamma)),
        ("background.png", png.image(pixels, 8, png.RGB, before=png.chunk(b"bKGD", b"\0\1\0\2\0\3"))),
        ("short-palette.png", png.image(few, 4, png.PALETTE, before=png.chunk(b"PLTE", ramp(5)))),
        ("apng.png", png.image(pixels, 8, png.RGB, before=animation + first, after=rest)),
        ("apng-own-default.png", png.image(pixels, 8, png.RGB, before=animation, after=rest)),
    ]
    for orientation in range(1, 9):
        block = png.chunk(b"eXIf", png.exif(orientation))
        files.append((f"exif{orientation}.png", png.image(pixels, 8, png.RGB, before=block)))
    files.append(("late.png", png.image(pixels, 8, png.RGB, after=png.chunk(b"eXIf", png.exif(8)))))
    compare(files, "chunks")
    broken = [("profile.png", png.image(pixels, 8, png.RGB, before=profile))]
    tap.equal(len(classify(broken)[0]), 1, "a broken profile is not looked at")


def webp(image, **how):
    out = io.BytesIO()
    image.save(out, "WEBP", **how)
    return out.getvalue()


def pillow_image(mode, width, height, seed=1):
    colour = png.RGBA if mode == "RGBA" else png.RGB
    pixels = png.drawing(width, height, 8, colour, seed)
    return Image.frombytes(mode, (width, height), bytes(v for row in pixels for p in row for v in p))


def webp_kinds():
    files = []
    for width, height in SIZES:
        for mode in ("RGB", "RGBA"):
            image = pillow_image(mode, width, height)
            name = f"{mode}-{width}x{height}"
            files.append((f"lossy-{name}.webp", webp(image, quality=80)))
            files.append((f"lossless-{name}.webp", webp(image, lossless=True, exact=True)))
    image = pillow_image("RGB", 301, 260)
    for orientation in range(1, 9):
        exif = b"Exif\0\0" + png.exif(orientation)
        files.append((f"exif{orientation}.webp", webp(image, quality=50, exif=exif)))
    exif = png.exif(6)  # without the six bytes that only a JPEG needs
    files.append(("exif-bare.webp", webp(image, lossless=True, exif=exif)))
    compare(files, "WebP")


def webp_animations():
    """First frames that cover the canvas, and one that does not: Pillow writes the former, and the
    latter is made of it by moving its frame on a larger canvas."""
    files = []
    for mode in ("RGB", "RGBA"):
        for lossless in (False, True):
            frames = [pillow_image(mode, 301, 260, seed) for seed in (1, 2, 3)]
            how = {"lossless": lossless, "exact": True, "duration": 40}
            data = webp(frames[0], save_all=True, append_images=frames[1:], **how)
            name = f"{mode}-{'lossless' if lossless else 'lossy'}.webp"
            files += [("animated-" + name, data), ("moved-" + name, moved(data))]
    compare(files, "animated WebP")


def moved(data):
    """The canvas 40 wider and 20 higher, the frames at 16, 10."""
    data = bytearray(data)
    assert data[12:16] == b"VP8X"
    for at, add in ((24, 40), (27, 20)):
        size = int.from_bytes(data[at : at + 3], "little") + add
        data[at : at + 3] = size.to_bytes(3, "little")
    at = data.find(b"ANMF")
    while at >= 0:
        data[at + 8 : at + 14] = (8).to_bytes(3, "little") + (5).to_bytes(3, "little")
        at = data.find(b"ANMF", at + 4)
    return bytes(data)


def same_pixels():
    """PNG, interlaced PNG and lossless WebP: one answer, digit by digit."""
    for mode, colour in (("RGB", png.RGB), ("RGBA", png.RGBA)):
        pixels = png.drawing(301, 260, 8, colour)
        image = Image.frombytes(mode, (301, 260), bytes(v for row in pixels for p in row for v in p))
        files = [
            ("a.png", png.image(pixels, 8, colour)),
            ("b.png", png.image(pixels, 8, colour, interlaced=True)),
            ("c.webp", webp(image, lossless=True, exact=True)),
        ]
        lines = compare(files, f"the same pixels, {mode}")
        tap.ok(lines["a.png"] == lines["b.png"] == lines["c.webp"], f"{mode}: one answer", lines)


def alpha_everywhere():
    """Every alpha over every level."""
    pixels = [[(level, 255 - level, level, alpha) for level in range(256)] for alpha in range(256)]
    compare([("alpha.png", png.image(pixels, 8, png.RGBA))], "65536 combinations of alpha and level")


if not features.check("webp_anim"):
    tap.skip_all("this Pillow has no animated WebP")
tap.run(png_kinds, transparency, ignored_and_not, webp_kinds, webp_animations, same_pixels,
        alpha_everywhere)  # fmt: skip
