#!/usr/bin/env python3
"""resnet-classify: every option, what is printed, and what a bad file or a typing error gets."""

import array
import ast
import json
import os
import subprocess
import tempfile

import draw
import service
import tap

PROGRAM = service.program("resnet-classify")


class Run:
    def __init__(self, *arguments, **variables):
        done = subprocess.run(
            [PROGRAM, *map(str, arguments)], env=service.clean_environment(**variables),
            capture_output=True, text=True, timeout=240,
        )  # fmt: skip
        self.code, self.out, self.said = done.returncode, done.stdout, done.stderr
        self.rows = [line.split("\t") for line in self.out.splitlines()]

    def __repr__(self):
        return f"exit {self.code}\n{self.out[:2000]}\n{self.said[:2000]}"


def load(path):
    with open(path, "rb") as file:
        head = file.read(10)
        header = ast.literal_eval(file.read(head[8] | head[9] << 8).decode())
        values = array.array({"<f4": "f", "|u1": "B"}[header["descr"]])
        values.frombytes(file.read())
    return header["shape"], values


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)
    return path


class Place:
    """A directory with a model beside it."""

    def __init__(self):
        self.model = service.small_model()
        self.temporary = tempfile.TemporaryDirectory(prefix="classify-")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.temporary.cleanup()

    def path(self, name):
        return os.path.join(self.temporary.name, name)

    def picture(self, name, seed=1, **how):
        return write(self.path(name), draw.jpeg(seed=seed, **how))

    def run(self, *arguments, **variables):
        return Run("-m", self.model, *arguments, **variables)


def a_table():
    with Place() as place:
        one = place.picture("one.jpg")
        run = place.run(one)
        good = run.code == 0 and len(run.rows) == 5 and all(len(row) == 4 for row in run.rows)
        tap.ok(good, "five lines: file, class id, probability, label", run)
        tap.ok(all(row[0] == one for row in run.rows), "the file's name first", run)
        chances = [float(row[2]) for row in run.rows]
        falling = chances == sorted(chances, reverse=True) and 0 < chances[0] <= 1
        tap.ok(falling, "the most probable first", run)
        tap.ok("synthetic" in run.rows[0][3], "the label is the model's", run)
        tap.equal(run.said, "", "nothing else is said where there is no terminal")
        for flag in (("-k", "3"), ("-k3",), ("--top-k", "3"), ("--top-k=3",)):
            tap.equal(len(place.run(*flag, one).rows), 3, f"{' '.join(flag)}: three lines")
        tap.equal(len(place.run("-k", "5000", one).rows), 1000, "-k 5000: as many as there are")
        tap.equal(len(place.run(one, "-k", "2").rows), 2, "flags may come after files")
        run = Run(one, RESNET_MODEL=place.model)
        tap.equal(len(run.rows), 5, "RESNET_MODEL names the model too")
        odd = place.picture("tab\there\\.jpg")
        expected = odd.replace("\\", "\\\\").replace("\t", "\\t")
        tap.equal(place.run(odd).rows[0][0], expected, "a tab in a name is escaped")


def json_lines():
    with Place() as place:
        one, two = place.picture("one.jpg"), place.picture('tw"o.jpg', seed=2)
        bad = write(place.path("bad.jpg"), b"\xff\xd8\xff")
        run = place.run("--json", "-k", "2", one, bad, two)
        lines = [json.loads(line) for line in run.out.splitlines()]
        tap.equal([line["file"] for line in lines], [one, bad, two], "one object a file, in order")
        keys = [list(p) for p in lines[0]["predictions"]]
        tap.equal(keys, [["class_id", "label", "probability"]] * 2, "predictions as the server's")
        tap.equal(lines[1]["code"], "image_undecodable", "a bad file has a code")
        tap.ok("truncated" in lines[1]["error"], "and a sentence", run)
        table = place.run("-k", "2", one)
        same = [[p["class_id"], round(p["probability"], 6)] for p in lines[0]["predictions"]]
        tap.equal(same, [[int(r[1]), float(r[2])] for r in table.rows], "the table's numbers")


def directories():
    with Place() as place:
        os.makedirs(place.path("dir/inner"))
        for name in ("b.jpg", "a.JPEG", "c"):
            place.picture(os.path.join("dir", name), seed=len(name))
        place.picture("dir/inner/deep.jpg")
        place.picture("dir/.hidden.jpg")
        write(place.path("dir/notes.txt"), b"not a picture")
        write(place.path("dir/broken.jpg"), draw.jpeg()[:400])
        run = place.run("-k", "1", place.path("dir"))
        names = [os.path.relpath(row[0], place.path("dir")) for row in run.rows]
        tap.equal(names, ["a.JPEG", "b.jpg", "c"], "its pictures, sorted, whatever they are called")
        lines = run.said.splitlines()
        skipped = [line for line in lines if "notes.txt: skipped" in line]
        tap.ok(len(skipped) == 1, "what is no picture is skipped with a note", run)
        broken = [line for line in lines if "broken.jpg" in line and "truncated" in line]
        tap.ok(len(broken) == 1 and run.code == 1, "a broken picture is an error, exit 1", run)
        os.remove(place.path("dir/broken.jpg"))
        tap.equal(place.run(place.path("dir")).code, 0, "a skipped file is none")


def bad_files():
    with Place() as place:
        good = place.picture("good.jpg")
        text = write(place.path("text.jpg"), b"hello")
        huge = write(place.path("huge.jpg"), draw.header_only(65500, 65500))
        run = place.run("-k", "1", place.path("none.jpg"), text, good, huge, place.temporary.name + "/x")
        tap.equal([row[0] for row in run.rows], [good], "the good one among bad ones is classified")
        tap.equal(run.code, 1, "exit code 1")
        for name, sentence in (
            ("none.jpg", "No such file"),
            ("text.jpg", "found 68 65 6c 6c"),
            ("huge.jpg", "4290250000 pixels"),
        ):
            found = [x for x in run.said.splitlines() if name in x and sentence in x]
            tap.ok(len(found) == 1, f"{name}: {sentence}", run)
        run = place.run("-k", "1", "--max-pixels", "1000", good)
        tap.ok(run.code == 1 and "76800 pixels" in run.said, "--max-pixels is obeyed", run)


def arrays():
    with Place() as place:
        files = [place.picture(f"{i}.jpg", seed=i) for i in range(3)]
        bad = write(place.path("bad.jpg"), b"\xff\xd8\xff")
        outputs = ["logits", "features", "dump-tensor", "dump-crop"]
        flags = [x for name in outputs for x in (f"--{name}", place.path(name + ".npy"))]
        run = place.run(*flags, "-k", "1", files[0], bad, *files[1:])
        made = {name: load(place.path(name + ".npy")) for name in outputs}
        shapes = {name: shape for name, (shape, _) in made.items()}
        expected = {
            "logits": (3, 1000), "features": (3, 256),
            "dump-tensor": (3, 3, 224, 224), "dump-crop": (3, 224, 224, 3),
        }  # fmt: skip
        tap.equal(shapes, expected, "a row for each picture that was classified")
        logits = made["logits"][1]
        best = [max(range(1000), key=logits[i * 1000 : i * 1000 + 1000].__getitem__) for i in range(3)]
        tap.equal([int(row[1]) for row in run.rows], best, "the table's class has the largest logit")
        crop, tensor = made["dump-crop"][1], made["dump-tensor"][1]
        plane = 224 * 224
        first = [tensor[c * plane + 5] * s + m for c, (m, s) in enumerate(NORMALISATION)]
        near = all(abs(v * 255 - crop[5 * 3 + c]) < 0.01 for c, v in enumerate(first))
        tap.ok(near, "the tensor is the crop, normalised")
        back, tensor_file = place.path("back.npy"), place.path("dump-tensor.npy")
        again = place.run("--tensor", tensor_file, "--logits", back, "-k", "1")
        tap.ok(load(back) == made["logits"], "--tensor gives the same logits, bit for bit", again)
        tap.equal(again.rows[1][0], tensor_file + "[1]", "and names its rows")


NORMALISATION = [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]


def wrong_arrays():
    with Place() as place:
        header = b"\x93NUMPY\x01\x00\x46\x00{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }"
        wide = header % b"1, 3, 4, 5"
        cases = {
            "shape": (wide.ljust(80) + bytes(240), "expected float32 [N,3,224,224]"),
            "short": (wide.ljust(80) + bytes(200), "asks for 240"),
            "other": (b"PK\3\4 and so on", "not a .npy file"),
        }
        for name, (data, sentence) in cases.items():
            run = place.run("--tensor", write(place.path(name + ".npy"), data))
            tap.ok(run.code == 1 and sentence in run.said and not run.out, f"{name}: {sentence}", run)
        run = place.run("--logits", "/no/such/dir/x.npy", place.picture("a.jpg"))
        tap.ok(run.code == 1 and "/no/such/dir/x.npy" in run.said, "an output that cannot be made", run)
        run = place.run("--logits", "/dev/full", place.picture("a.jpg"))
        tap.ok(run.code == 1 and "/dev/full" in run.said, "a full disk", run)


def exif():
    with Place() as place:
        plain = place.picture("plain.jpg")
        orientation = b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
        data = open(plain, "rb").read()
        turned = write(place.path("turned.jpg"), data[:2] + draw.segment(0xE1, orientation) + data[2:])
        crops = {}
        for name, arguments, variables in (
            ("plain", [plain], {}),
            ("apply", [turned], {}),
            ("flag", ["--exif", "ignore", turned], {}),
            ("variable", [turned], {"RESNET_EXIF": "ignore"}),
        ):
            out = place.path(name + ".npy")
            place.run("--dump-crop", out, *arguments, **variables)
            crops[name] = load(out)
        tap.ok(crops["apply"] != crops["plain"], "an orientation is applied")
        tap.ok(crops["flag"] == crops["plain"], "--exif ignore")
        tap.ok(crops["variable"] == crops["plain"], "RESNET_EXIF=ignore")


def decode():
    """A large picture decoded at a part of its size; a small one is what it always was."""
    with Place() as place:
        large = place.picture("large.jpg", width=1100, height=1030)
        small = place.picture("small.jpg", width=1100, height=1020)
        crops = {}
        for name, arguments, variables in (
            ("exact", [large], {}),
            ("flag", ["--decode", "fast", large], {}),
            ("variable", [large], {"RESNET_DECODE": "fast"}),
            ("small", [small], {}),
            ("small, fast", ["--decode=fast", small], {}),
        ):
            out = place.path("crop.npy")
            place.run("--dump-crop", out, *arguments, **variables)
            crops[name] = load(out)
        tap.ok(crops["flag"] == crops["variable"] != crops["exact"], "--decode fast, RESNET_DECODE")
        _, exact = crops["exact"]
        apart = sum(abs(a - b) for a, b in zip(exact, crops["flag"][1])) / len(exact)
        tap.ok(apart < 3, "nearly the same pixels", apart)
        tap.ok(crops["small"] == crops["small, fast"], "below 1024 pixels exactly the same")


def usage():
    with Place() as place:
        one = place.picture("one.jpg")
        for arguments, sentence in (
            ([], "expected an image"),
            (["--jsom", one], "did you mean --json"),
            (["-k", "0", one], "-k: expected"),
            (["-k", "five", one], "-k: expected"),
            (["--decode", "quick", one], "--decode: expected one of exact|fast"),
            (["--json=1", one], "--json: expected no value"),
            (["--logits"], "--logits: expected a value"),
            (["--tensor", "x.npy", one], "--tensor: expected no image"),
            (["--tensor", "x.npy", "--dump-crop", "y.npy"], "nothing is preprocessed"),
            (["--precision", "fp1", one], "fp32|bf16|int8"),
            (["-q", one], "-q"),
        ):
            run = place.run(*arguments)
            good = run.code == 64 and sentence in run.said and run.said.count("\n") == 1
            tap.ok(good, f"{' '.join(map(os.path.basename, arguments))}: exit 64, one line", run)
        run = Run("-m", "/no/such/model.rnm", one)
        tap.ok(run.code == 78 and "/no/such/model.rnm" in run.said, "no model: exit 78", run)
        run = place.run("--isa", "abacus", one)
        tap.ok(run.code == 78 and "ref" in run.said, "an unknown engine: exit 78, the choices", run)
        run = place.run("--", place.path("-dash.jpg"), one)
        tap.ok(run.code == 1 and len(run.rows) == 5, "-- ends the flags", run)
        run = Run("--help")
        tap.ok(run.code == 0 and "--dump-tensor" in run.out and "--exif" in run.out, "--help", run)
        run = Run("--version")
        tap.ok(run.code == 0 and "1.0.0" in run.out and "OpenBLAS" in run.out, "--version", run)


def engines():
    with Place() as place:
        one = place.picture("one.jpg")
        found = {isa: place.run("--isa", isa, "-k", "1", one) for isa in ("ref", "blas")}
        tap.equal(found["ref"].rows[0][1], found["blas"].rows[0][1], "ref and blas agree")
        run = place.run("-k", "1", one, RESNET_ISA="ref")
        tap.equal(run.out, found["ref"].out, "RESNET_ISA is obeyed")


tap.run(a_table, json_lines, directories, bad_files, arrays, wrong_arrays, exif, decode, usage, engines)
