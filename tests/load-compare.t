#!/usr/bin/env python3
# timeout: 600
"""resnet-load --compare names what differs between two services, and why: stand-ins differ in one
thing each, which is found by experiment; and two of ours about real photographs, where those are."""

import glob
import html.parser
import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import zlib

import draw
import service
import standin
import tap

LOAD = service.program("resnet-load")
PATIENCE_S = 500


def exif(orientation):
    """An APP1 segment that says so, and nothing else."""
    tiff = b"MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
    return draw.segment(0xE1, b"Exif\0\0" + tiff)


def with_exif(jpeg, orientation):
    return jpeg[:2] + exif(orientation) + jpeg[2:]


def compare(old, new, directory, *options):
    done = subprocess.run(
        [LOAD, "--json", "-q", "--compare", *options, old, new, directory], capture_output=True,
        text=True, timeout=PATIENCE_S, check=False, env=service.clean_environment(),
    )  # fmt: skip
    if done.returncode not in (0, 1):
        raise AssertionError(f"exit code {done.returncode}: {done.stderr}")
    found = json.loads(done.stdout)
    wrong = found["other"] + found["failed"]
    tap.equal(done.returncode, int(wrong > 0), "exit code 1 where classes differ or answers are missing")
    return found


# ---- stand-ins: a "network" is a function of (picture, query), the class of the whole --------------


def picture_in(body):
    """The file in a form with one field."""
    return body.partition(b"\r\n\r\n")[2].rpartition(b"\r\n--")[0]


def is_png(picture):
    return picture.startswith(b"\x89PNG")


def first_pixel(png):
    at = png.index(b"IDAT")
    data = png[at + 4 : at + 4 + int.from_bytes(png[at - 4 : at], "big")]
    return tuple(zlib.decompressobj().decompress(data, 16)[1:4])


def label_of(data):
    return f"class {zlib.crc32(data) % 1000}"


def network(see, shape=None, more=""):
    """see(picture, query): the bytes that the class depends on."""

    async def way(request, writer):
        label = label_of(see(picture_in(request.body), request.path.partition("?")[2]))
        body = (shape or fastapi)(label)
        writer.write(standin.whole(json.dumps(body).encode(), more=more))
        return True

    return standin.StandIn(way)


def fastapi(label):
    return {"predictions": [{"label": label, "probability": 0.75}, {"label": "other", "probability": 0.1}]}


def stripped(picture):
    at = picture.find(b"Exif\0\0")
    return picture if at < 0 else picture[: at - 4] + picture[at + 22 + 10 :]


def plain(picture, _):
    return stripped(picture)


def turning(picture, _):
    return picture


def swapping(picture, _):
    """Takes blue for red."""
    red, blue = first_pixel(RED), first_pixel(BLUE)
    if not is_png(picture):
        return picture + b"swapped"
    swapped = {red: BLUE, blue: RED}.get(first_pixel(picture), picture)
    return swapped


def drawn():
    """What the program draws: gray, red, blue, pattern; caught when it looks for a cause."""
    seen = []

    def keep(picture, _):
        if is_png(picture):
            seen.append(picture)
        return picture

    with network(keep) as old, network(lambda p, q: p + b"x") as new:
        compare(old.url, new.url, PICTURES)
    return seen


def one_cause(name, old, new, cause, words, **options):
    with network(old) as a, network(new, **options) as b:
        found = compare(a.url, b.url, PICTURES)
    why = {case["why"] for case in found["differences"]}
    tap.equal((found["other"], found["causes"][cause]), (found["pictures"],) * 2, f"{name}: {cause}")
    tap.ok(all(words in one for one in why), f"{name}: in words", why)


def each_cause():
    def other(picture, _):
        return picture + b"weights"

    def resizing(picture, _):
        return picture if is_png(picture) else picture + b"filter"

    def cropping(picture, _):
        return picture + b"crop" if not is_png(picture) or len(picture) > 2000 else picture

    def narrow(picture, query):
        return picture if "precision=fp32" in query else picture + b"int8"

    one_cause("other weights", turning, other, "weights", "plain colours")
    one_cause("another filter", turning, resizing, "resize", "filter")
    one_cause("another crop", turning, cropping, "resize", "size or crop")
    one_cause("blue for red", turning, swapping, "channels", "red and blue")
    one_cause("int8", turning, narrow, "precision", "computes in int8", more="X-Precision: int8\r\n")


def orientation():
    with tempfile.TemporaryDirectory() as directory:
        for value in (1, 3, 6):
            with open(os.path.join(directory, f"{value}.jpg"), "wb") as file:
                file.write(with_exif(draw.jpeg(seed=value), value))
        with open(os.path.join(directory, "0.jpg"), "wb") as file:
            file.write(draw.jpeg(seed=9))

        def turns(picture, query):
            return plain(picture, query) if b"Exif" in picture and exif(1) in picture else picture

        def in_int8(picture, query):
            return turns(picture, query) + (b"" if "fp32" in query else b"int8")

        def plain_in_int8(picture, query):
            return plain(picture, query) + (b"" if "fp32" in query else b"int8")

        for old, new, who in ((plain, turns, "the new service turns"), (turns, plain, "the old service turns")):
            with network(old) as a, network(new) as b:
                found = compare(a.url, b.url, directory)
            files = sorted(os.path.basename(case["file"]) for case in found["differences"])
            tap.equal((files, found["causes"]["exif"]), (["3.jpg", "6.jpg"], 2), f"{who}: those two")
            tap.ok(all(who in case["why"] for case in found["differences"]), "and it is said who", found)
        with network(plain) as a, network(in_int8, more="X-Precision: int8\r\n") as b:
            causes = compare(a.url, b.url, directory)["causes"]
        tap.equal((causes["precision"], causes["exif_and_precision"]), (2, 2), "two causes at once")
        with network(plain) as a, network(plain_in_int8, more="X-Precision: int8\r\n") as b:
            causes = compare(a.url, b.url, directory)["causes"]
        tap.equal((causes["precision"], causes["exif_and_precision"]), (4, 0), "EXIF that changes nothing")


# ---- shapes ------------------------------------------------------------------------------------------

SHAPES = {
    "FastAPI": fastapi,
    "one class": lambda label: {"class": label, "confidence": 0.75},
    "one class and score": lambda label: {"prediction": label.upper().replace(" ", "_"), "score": 0.75},
    "percent": lambda label: {"result": {"class_name": label, "prob": 75.0}},
    "a list": lambda label: [{"label": "other", "score": 0.1}, {"label": label, "score": 0.75}],
    "a list of lists": lambda label: {"predictions": [[["n0", label, 0.75], ["n1", "other", 0.1]]]},
    "TorchServe": lambda label: {label: 0.75, "other": 0.1},
    "results": lambda label: {"success": True, "results": [fastapi(label)]},
    "synonyms": lambda label: {"top5": [{"name": label + ", synonym", "p": 0.75}]},
    "ids": lambda label: {"predictions": [{"class_id": int(label.split()[1]), "probability": 0.75}]},
    "numbers": lambda label: {"predictions": [[0.75 if i == int(label.split()[1]) else 0.0
                                               for i in range(1000)]]},
}  # fmt: skip


def with_id(label):
    return {"predictions": [{"class_id": int(label.split()[1]), "label": label, "probability": 0.755}]}


def shapes():
    for name, shape in SHAPES.items():
        with network(turning, shape) as old, network(turning, with_id) as new:
            found = compare(old.url, new.url, PICTURES)
        tap.equal(found["same"], found["pictures"], f"an old service that answers with {name}")
        near = abs(found["largest_difference"] - 0.005) < 1e-6
        tap.ok(near, f"{name}: and the difference", found["largest_difference"])
    with standin.StandIn(standin.answer({"hello": "world"})) as old, network(turning) as new:
        found = compare(old.url, new.url, PICTURES)
    details = {case["old"]["detail"] for case in found["differences"]}
    tap.equal((found["failed_old"], details), (3, {"no predictions"}), "no shape that is known")


def in_turns():
    order = []

    def logged(name):
        return lambda picture, _: order.append(name) or picture

    with network(logged("old")) as old, network(logged("new")) as new:
        compare(old.url, new.url, PICTURES, "--warm-up", "1")
    first, both = order[:2], order[2:]
    tap.equal(first, ["old", "new"], "one picture to warm both up")
    tap.equal(both, ["old", "new", "new", "old", "old", "new"], "none is always asked first")


def failures():
    with standin.StandIn(standin.answer({"code": "overloaded"}, "503 Busy")) as old, network(turning) as new:
        found = compare(old.url, new.url, PICTURES)
    tap.equal((found["failed_old"], found["failed_new"], found["failed"]), (3, 0, 3), "the old one fails")
    rows = {(case["old"]["row"], case["old"]["detail"]) for case in found["differences"]}
    tap.equal(rows, {("HTTP 503", "overloaded")}, "and how")
    tap.ok(all(case["old"]["request_id"].startswith("compare-") for case in found["differences"]), "ids")
    with socket.socket() as held:  # nobody listens there, and nobody else gets the port
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        done = subprocess.run([LOAD, "--compare", url, url, PICTURES], capture_output=True,
                              text=True, check=False)  # fmt: skip
    tap.equal(done.returncode, 75, "nobody there: exit code 75")


# ---- the page ------------------------------------------------------------------------------------------


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.words = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "action")]

    def handle_data(self, data):
        self.words += data


def page():
    evil = "<script>alert(1)</script>\"'&"
    with tempfile.TemporaryDirectory() as directory:
        name = "<img src=x onerror=alert(1)>.jpg"
        with open(os.path.join(directory, name), "wb") as file:
            file.write(draw.jpeg())
        path = os.path.join(directory, "page.html")
        with network(turning, lambda _: {"label": evil, "score": 0.5}) as old, network(turning) as new:
            compare(old.url, new.url, directory, "--html", path)
            text = subprocess.run([LOAD, "--compare", old.url, new.url, directory], capture_output=True,
                                  text=True, check=False).stdout  # fmt: skip
        with open(path, encoding="utf-8") as file:
            found = Page(file.read())
    with network(turning) as one:
        done = subprocess.run([LOAD, "--compare", "--html", directory + "/x", one.url, one.url, PICTURES],
                              capture_output=True, text=True, check=False)  # fmt: skip
        tap.equal((done.returncode, one.requests), (64, []), "a page that cannot be written: before all")
    tap.ok("script" not in found.tags and found.tags.count("img") == 1, "no tag of theirs", found.tags)
    tap.ok(evil in found.words and name in found.words, "what they said, as text", found.words)
    tap.ok(found.links and all(link.startswith("data:image/") for link in found.links), "nothing from elsewhere")
    tap.ok("The same first class" in text and "Likely causes" in text, "the same in a box", text)
    box = [line for line in text.splitlines() if line[0] in "┌├└│"]
    tap.equal({len(line) for line in box}, {70}, "with straight sides")


# ---- ours ------------------------------------------------------------------------------------------------


def ours():
    """Two of ours, one of which leaves EXIF alone, about photographs and about how they are stored."""
    model = service.real_model()
    if not model:
        tap.skip("real photographs", "RESNET_SHARED has no weights")
        return
    data = os.path.join(os.environ["RESNET_SHARED"], "data")
    with tempfile.TemporaryDirectory() as directory:
        upright = sorted(glob.glob(os.path.join(data, "images", "*.JPEG")))[:5]
        turned = sorted(glob.glob(os.path.join(data, "variants", "*.exif[3-8].jpg")))
        tap.ok(upright and turned, "there are photographs, and turned ones", (upright, turned))
        for path in upright + turned:
            shutil.copy(path, directory)
        with service.Service(workers=1, model=model, RESNET_EXIF="ignore") as old:
            with service.Service(workers=1, model=model) as new:
                urls = [f"http://127.0.0.1:{one.port}" for one in (old, new)]
                found = compare(*urls, directory)
                int8 = compare(urls[1], urls[1] + "/predict?precision=int8", directory)
    tap.ok(found["causes"]["exif"] == found["other"] + found["close"] > 0,
           "two of ours: EXIF is the cause of each difference", found["differences"])  # fmt: skip
    tap.equal(found["same"] + found["causes"]["exif"], found["pictures"], "and all else agrees")
    others = int8["other"] + int8["close"]
    tap.equal(int8["causes"]["precision"], others, "fp32 and int8: precision is")
    tap.ok(others > 0, "and it shows", int8["largest_difference"])


with tempfile.TemporaryDirectory() as temporary:
    PICTURES = os.path.join(temporary, "pictures")
    os.mkdir(PICTURES)
    for number in range(3):
        with open(os.path.join(PICTURES, f"{number}.jpg"), "wb") as picture_file:
            picture_file.write(draw.jpeg(seed=number + 1))
    DRAWN = drawn()
    tap.equal(len(DRAWN), 4, "four pictures are drawn, once")
    RED, BLUE = DRAWN[1], DRAWN[2]
    tap.run(each_cause, orientation, in_turns, shapes, failures, page, ours)
