"""mutate_valid.py: requests as they should be, of every dialect and format, to be mutated: each is
made around pictures, so that a damaged picture can stand where a whole one would.

    name, make = choose(rng)
    draft = make(rng, pictures)      # pictures(): another one each time
"""

import base64
import itertools
import json
import struct

import draw
import kserve_client
import png
import web

JSON = b"application/json"
OIP = b"/v2/models/resnet50/infer"
TENSOR = (1, 3, 224, 224)

# Drawn for this: a gradient, lossy; the same with a gradient as alpha.
WEBP_LOSSY = base64.b64decode(
    "UklGRogAAABXRUJQVlA4IHwAAABwBACdASoYABQAPyWAtFOuKKUit/qoAcAkiWwAgAw4AHrCNRKJBHD475CUAAD+6Tcm"
    "1Je63QRpx1RI0sm+gtNXdw2fPzYSWQiYBEoRsA5aZwVnvKcUC6Xhv3a5zbX0IIbi96aUslxo8/iYyvG5YTe2Wf1/S2cb"
    "jqgqAAAA"
)
WEBP_ALPHA = base64.b64decode(
    "UklGRroAAABXRUJQVlA4WAoAAAAQAAAAFwAAEwAAQUxQSCYAAAABmYzof0Bp20jMoUf3v//IvcCICSAboChMLpHgldyo"
    "sdAbLiZ7AFZQOCBuAAAAkAMAnQEqGAAUAD9dnMFYv6wno7f6qAPwK4lsAIEeCxO7Hl7EgAD+3qp/xcp2/N86r4I+r3n7"
    "hZYROgLjeEHPU8vb5+4F7pupllOBvQMGCfyPlwii13/inZGcje6Fv0H9V7fj4+yrTRGL7hdAAAA="
)


class Draft:
    """A request in parts. owed: whether an answer has to come. framing: None (Content-Length), or the
    header lines and the bytes that take its place. pieces: as how many it is sent. ending: "wait" for
    the answer, "half" (nothing more will come), "leave" or "reset" (nor is anybody there any more)."""

    def __init__(self, dialect, method, target, body=None, kind=None, headers=()):
        self.dialect, self.method, self.target, self.version = dialect, method, target, b"HTTP/1.1"
        self.headers = [[b"Host", b"localhost"], [b"Connection", b"close"]]
        self.headers += [[b"Content-Type", kind]] if kind else []
        self.headers += [list(header) for header in headers]
        self.body, self.framing, self.behind = body, None, b""
        self.internal, self.owed, self.ending, self.pieces = False, True, "wait", 1
        self.line_end, self.sent = b"\r\n", b""
        self.damage = []  # of all bytes, when they are put together
        self.how = []  # the names of its mutations

    def bytes(self):
        lines, body = [b"Content-Length: %d" % len(self.body)] if self.body is not None else [], self.body or b""
        if self.framing:
            lines, body = self.framing
        top = [b" ".join((self.method, self.target, self.version))]
        top += [name + b": " + value for name, value in self.headers]
        data = self.line_end.join(top + lines) + self.line_end * 2 + body
        for damage in self.damage:
            data = damage(data)
        return data + self.behind


# ---- pictures ------------------------------------------------------------------------------------


def flat_webp(width, height):
    """Lossless, one colour: not a bit for a pixel, so of any size at once."""
    bits = (width - 1) | (height - 1) << 14
    data = b"\x2f" + struct.pack("<I", bits) + bytes.fromhex("07101111 8888fe07")
    return riff(b"VP8L", data)


def riff(kind, data):
    padded = data + bytes(len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(padded) + 12) + b"WEBP" + kind + struct.pack("<I", len(data)) + padded


def turned(picture, orientation):
    exif = draw.segment(0xE1, b"Exif\0\0" + png.exif(orientation))
    return picture[:2] + exif + picture[2:]


def npy():
    top = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 8, 8), }"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(top)) + top + bytes(4 * 3 * 8 * 8)


def drawn():
    """{format: [pictures]}; the last of these formats are none that is taken."""
    jpegs = [draw.jpeg(64, 48, seed) for seed in (1, 2)] + [
        draw.jpeg(320, 240), draw.jpeg(40, 300, components=1), draw.jpeg(96, 96, progressive=True),
        turned(draw.jpeg(80, 60, 3), 6), turned(draw.jpeg(60, 80, 4), 3), draw.flat(900, 700),
        draw.flat(640, 480, progressive=True), draw.jpeg(16, 16, comment_bytes=70000),
        draw.header_only(65500, 65500), draw.header_only(4000, 4000, 0xC2),
        draw.header_only(64, 64, components=4),
    ]  # fmt: skip
    pngs = []
    for number, (colour, depths) in enumerate(png.DEPTHS.items()):
        for depth, interlaced in itertools.product(depths, (False, True)):
            palette = png.chunk(b"PLTE", bytes(range(48))) if colour == png.PALETTE else b""
            below = min(1 << depth, 16) if palette else None
            pixels = png.drawing(20 + number, 18, depth, colour, below=below)
            pngs.append(png.image(pixels, depth, colour, interlaced, palette))
    pixels = png.drawing(60, 50, 8, png.RGB)
    pngs.append(png.image(pixels, 8, png.RGB, before=png.chunk(b"eXIf", png.exif(6))))
    pngs.append(png.image(pixels, 8, png.RGB, after=png.chunk(b"tEXt", b"a\0b")))
    pngs.append(png.SIGNATURE + png.header(30000, 30000, 16, png.RGBA) + png.chunk(b"IDAT", b"x"))
    webps = [flat_webp(1, 1), flat_webp(300, 200), WEBP_LOSSY, WEBP_ALPHA, flat_webp(16384, 16384)]
    others = [npy(), b"", b"GIF89a" + bytes(40), b"BM" + bytes(60), b"hello, no picture", b"\xff\xd8\xff"]
    return {"jpeg": jpegs, "png": pngs, "webp": webps, "other": others}


PICTURES = drawn()
KINDS = {"jpeg": b"image/jpeg", "png": b"image/png", "webp": b"image/webp", "other": b"application/octet-stream"}


def picture(rng):
    return rng.choice(PICTURES[rng.choices(("jpeg", "png", "webp", "other"), (9, 6, 4, 1))[0]])


def text(data):
    return base64.b64encode(data).decode()


def several(rng, pictures, most=3):
    return [pictures() for _ in range(rng.choice((1, 1, 1, 1, 2, most)))]


# ---- the dialects --------------------------------------------------------------------------------


def predict_raw(rng, pictures):
    query = rng.choice((b"", b"", b"?top_k=3", b"?top_k=1000", b"?precision=fp32", b"?top_k=1&precision=fp32"))
    kind = rng.choice([*KINDS.values(), None, b"image/jpeg; q=1"])
    return Draft("predict", b"POST", b"/predict" + query, pictures(), kind)


def predict_form(rng, pictures):
    names = ("file", "image", "image")
    parts = [(rng.choice(names), f"{i}.jpg", rng.choice((None, "image/jpeg")), p)
             for i, p in enumerate(several(rng, pictures))]  # fmt: skip
    if rng.random() < 0.3:
        parts.append(("top_k", None, None, b"2"))
    body, kind = web.multipart(parts)
    return Draft("predict, multipart", b"POST", b"/predict", body, kind.encode())


def predict_json(rng, pictures):
    shown = several(rng, pictures)
    value = {"image": text(shown[0])} if len(shown) == 1 else {"images": [text(p) for p in shown]}
    if rng.random() < 0.5:
        value["top_k"] = rng.choice((1, 5, 1000))
    return Draft("predict, JSON", b"POST", b"/predict", json.dumps(value).encode(), JSON)


def torchserve(rng, pictures):
    path = rng.choice((b"/predictions/resnet50", b"/predictions/resnet50/1.0"))
    method = rng.choice((b"POST", b"PUT"))
    if rng.random() < 0.5:
        return Draft("TorchServe", method, path, pictures(), rng.choice((None, b"image/jpeg")))
    body, kind = web.multipart([("data", "a.jpg", None, pictures())])
    return Draft("TorchServe, multipart", method, path, body, kind.encode())


def tfserving(rng, pictures):
    """KServe's first version is the same path and the same shape."""
    path = rng.choice((b"/v1/models/resnet50:predict", b"/v1/models/resnet50/versions/1:predict"))
    shown = [{"b64": text(p)} for p in several(rng, pictures)]
    value = rng.choice((
        {"instances": shown}, {"instances": [{"image_bytes": p} for p in shown]}, {"inputs": shown},
        {"inputs": {"image_bytes": shown}}, {"signature_name": "serving_default", "instances": shown},
    ))  # fmt: skip
    return Draft("TensorFlow Serving", b"POST", path, json.dumps(value).encode(), JSON)


def infer(dialect, rng, inputs, parameters=None):
    """By the client that knows the protocol only."""
    outputs = [kserve_client.Output(name, binary=rng.choice((None, True, False)),
                                    classes=3 if name == "classification" else None)
               for name in rng.sample(("probabilities", "logits", "features", "classification"), rng.randrange(3))]  # fmt: skip
    body, headers = kserve_client.compose(inputs, outputs or None, rng.choice((None, "42")), parameters)
    path = rng.choice((OIP, b"/v2/models/resnet50/versions/1/infer"))
    kind = headers.pop("Content-Type").encode()
    more = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Draft(dialect, b"POST", path, body, kind, more)


def oip_json(rng, pictures):
    shown = several(rng, pictures)
    image = kserve_client.Input("image", [len(shown)], "BYTES").data(shown)
    return infer("OIP, JSON", rng, [image], rng.choice((None, {"binary_data_output": True})))


def oip_binary(rng, pictures):
    shown = several(rng, pictures)
    image = kserve_client.Input("image", [len(shown)], "BYTES").binary(shown)
    return infer("OIP, binary", rng, [image])


def oip_tensor(rng, _):
    """Mostly too short, as a whole one is 600 KB."""
    floats = 3 * 224 * 224 if rng.random() < 0.2 else rng.choice((0, 1, 300))
    tensor = kserve_client.Input("input", TENSOR, "FP32")
    if rng.random() < 0.5:
        tensor.raw_bytes(struct.pack("<f", rng.uniform(-2, 2)) * floats)
    else:
        tensor.data([0.5] * min(floats, 1000))
    return infer("OIP, tensor", rng, [tensor])


def repository(rng, _):
    return Draft("OIP, repository", b"POST", b"/v2/repository/index", rng.choice((b"", b"{}", b'{"ready":true}')), JSON)


GETS = [
    b"/", b"/page/main.js", b"/page/", b"/openapi.json", b"/health", b"/health/live", b"/health/ready",
    b"/health/startup", b"/metrics", b"/status", b"/ping", b"/v2", b"/v2/health/live", b"/v2/health/ready",
    b"/v2/models/stats", b"/v2/models/resnet50", b"/v2/models/resnet50/ready", b"/v2/models/resnet50/config",
    b"/v2/models/resnet50/stats", b"/v2/models/resnet50/versions/1", b"/v2/models/resnet50/versions/1/stats",
    b"/v1/models/resnet50", b"/v1/models/resnet50/metadata", b"/v1/models/resnet50/versions/1",
    b"/predict", b"/v2/models/resnet50/infer", b"/nothing",
]  # fmt: skip


def get(rng, _):
    draft = Draft("GET", rng.choice((b"GET", b"GET", b"GET", b"HEAD", b"OPTIONS")), rng.choice(GETS))
    draft.internal = rng.random() < 0.2
    return draft


# how often, and how it is made
VALID = (
    (16, predict_raw), (10, predict_form), (10, predict_json), (8, torchserve), (10, tfserving), (10, oip_json),
    (10, oip_binary), (5, oip_tensor), (2, repository), (19, get),
)  # fmt: skip


def choose(rng):
    return rng.choices([make for _, make in VALID], [weight for weight, _ in VALID])[0]
