"""seeds_texts.py: seeds of what people write: options, labels, recipes; and small binary forms."""

import glob
import io
import os
import random
import struct

NGINX = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "nginx", "templates", "*")


def lines(*texts):
    return "\n".join(texts).encode()


def config():
    return {
        "flags": lines("--workers 4", "--threads=2", "--precision int8", "--max-body 16MiB", "-h"),
        "all": lines("--model /m", "--weights /w", "--run-dir /r", "--isa ref", "--request-timeout 2m",
                     "--stall-timeout 500ms", "--start-timeout 1.5h", "--read-timeout 130", "--backlog 5",
                     "--exif ignore", "--decode fast", "--log-level warn", "--log-format json", "--log x"),
        "environment": lines("RESNET_WORKERS=auto", "RESNET_MAX_PIXELS=64M", "RESNET_LOG_FORMAT=json",
                             "RESNET_WORKER=1", "RESNET_MAX_DECODE_MEMORY=auto", "RESNET_RATE_LIMIT=5"),
        "malformed": lines("RESNET_WORKERS=many"), "empty": lines("RESNET_WORKERS="),
        "unknown": lines("--worker 4"), "far": lines("--zzzzzzzzzzzzzzzzzzzzzzzz"), "letter": lines("-x"),
        "no-value": lines("--workers"), "switch-with-value": lines("--help=1"), "rest": lines("--", "a", "b"),
        "word": lines("a", "--workers 1"), "too-long": lines("--model " + "m" * 5000),
        "too-large": lines("--workers 99999999999999999999"), "negative": lines("--workers -1"),
        "sizes": lines("1", "1.5k", "0.000001g", "8gib", "9223372036854775807", "1e3", "5MB", "1.k", ".5", "1.5"),
        "durations": lines("90s", "2m", "1.5h", "3min", "7ms", "-1s", "99999999999999999h", "5 s"),
        "for-spawn": lines("--slot 1", "--generation 2", "--ready-fd 3", "--board-fd 4", "-t", "-V"),
        "long-name": lines("--" + "n" * 300, "RESNET_" + "N" * 300 + "=1"),
        "wrong-time": lines("--request-timeout soon"), "wrong-word": lines("--exif maybe"), "wrong-name": lines("--precision fp64"),
        "wrong-size": lines("--max-body 1.5.5"), "wrong-count": lines("--max-requests 5x"), "long-precision": lines("--isa " + "i" * 99),
        "minus": lines("--max-requests 1-1"), "dashes": lines("--max-requests -"), "scale": lines("999999999999999g", "1.x", "1.9999999"),
        "max": lines("--max-body 0", "--max-images 64", "--max-requests 5", "--max-rss 1g", "--slowlog 1s"),
    }  # fmt: skip


def labels():
    return {
        "three": b"3\ncat\ndog\nfish\n", "crlf": b"2\ncat\r\ndog\r\n", "bom": b"1\n\xef\xbb\xbfcat",
        "utf-8": "2\nété 😀\nя".encode(), "too-few": b"3\na\n", "too-many": b"1\na\nb\n", "empty-line": b"2\n\na\n",
        "control": b"1\na\tb\n", "nul": b"1\na\0b\n", "latin-1": b"1\n\xe9t\xe9\n", "overlong": b"1\n\xc0\xaf\n",
        "surrogate": b"1\n\xed\xa0\x80\n", "cut": b"1\n\xe2\x82", "large": b"1\n\xf4\x90\x80\x80", "c1": b"1\n\xc2\x80",
        "defaults": b"1000\n", "lone-byte": b"1\na\x80", "nothing": b"1\n", "five-bytes": b"1\n\xf8\x88\x80\x80\x80", "del": b"1\n\x7f", "cr-alone": b"1\na\rb",
    }  # fmt: skip


def recipe():
    return {
        "v2": lines("resize 232", "crop 224", "mean 0.485,0.456,0.406", "std 0.229,0.224,0.225"),
        "all": lines("squash", "interpolation bicubic", "activation sigmoid", "exif ignore", "resize 500", "crop 500"),
        "wrong": lines("resize 5", "crop x", "mean 1,2", "std 0,0,0", "interpolation nearest", "exif maybe"),
        "numbers": lines("mean nan,inf,-0", "std 1e400,0x1p-1,1e-400", "resize 99999999999999999999", "mean 0.5,0.5,0.5,"),
        "more": lines("squash yes", "activation none", "nothing", "mean 1, 0,0", "mean 0,0,0x", "resize ", "crop 33 "),
        "std-small": lines("std 0.0001,1,1"), "crop-large": lines("crop 2000"), "resize-small": lines("resize 100"),
        "mean-2": lines("mean 2,0,0"), "crop-small": lines("crop 8"),
    }  # fmt: skip


def npy_file(header, data=b"", version=(1, 0)):
    text = header.encode()
    length = struct.pack("<H" if version[0] == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text + data


def npy():
    head = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
    return {
        "floats": npy_file(head.ljust(117) + "\n", bytes(24)), "version-2": npy_file(head, bytes(24), (2, 0)),
        "bytes": npy_file("{'descr': '|u1', 'fortran_order': False, 'shape': (4,), }", b"abcd"),
        "scalar": npy_file("{'descr': '<f4', 'fortran_order': False, 'shape': (), }", bytes(4)),
        "other-order": npy_file('{"shape": (1,2,3,4), "fortran_order": False, "descr": "<f4"}', bytes(96)),
        "fortran": npy_file(head.replace("False", "True"), bytes(24)), "doubles": npy_file(head.replace("f4", "f8")),
        "big-endian": npy_file(head.replace("<", ">")), "short": npy_file(head, bytes(23)), "long": npy_file(head, bytes(25)),
        "dims": npy_file(head.replace("2, 3", "1,1,1,1,1,1,1,1,1")), "negative": npy_file(head.replace("2", "-2")),
        "overflow": npy_file(head.replace("2, 3", "9223372036854775807, 9223372036854775807")),
        "too-large": npy_file(head.replace("2", "99999999999999999999")), "zero": npy_file(head.replace("2", "0")),
        "version-9": npy_file(head, b"", (9, 0)), "cut": npy_file(head)[:9], "magic": b"\x93NUMPX\1\0", "length": b"\x93NUMPY\1\0\xff\xff{",
        "twice": npy_file(head[:-2] + "'descr': '<f4'}"), "unknown-key": npy_file(head[:-2] + "'a': 1}"),
        "missing": npy_file("{'descr': '<f4', }"), "no-dict": npy_file("[]"), "open-string": npy_file("{'descr"),
        "open-tuple": npy_file("{'shape': (1, 2"), "word": npy_file(head.replace("False", "Maybe")),
        "in-header": npy_file(head[:20]), "key-number": npy_file("{5: 1}"), "number-cut": npy_file("{'shape': (1 2)}"),
        "header-cut": b"\x93NUMPY\1\0\x40\0" + head.encode()[:30],
        "shape-word": npy_file(head.replace("(2, 3)", "x")), "shape-open": npy_file(head.replace("(2, 3)", "2")),
        "rows": npy_file(head.replace("2, 3", "2, 0")),
        "after": npy_file(head + " x"), "long-text": npy_file("{'descr': '" + "f" * 60 + "'}"), "no-colon": npy_file("{'descr' 1}"),
    }  # fmt: skip


def geometry():
    def numbers(*v):
        return struct.pack(">8H", *v)

    out = {
        "photograph": numbers(639, 479, 0, 32, 0, 0, 0, 0), "upright": numbers(479, 639, 1, 33, 0, 0, 5, 1),
        "line": numbers(65535, 0, 0, 0, 0, 0, 0, 0), "column": numbers(0, 65535, 5, 5, 0, 1, 7, 3),
        "pixel": numbers(0, 0, 0, 0, 0, 0, 3, 0), "largest": numbers(65535, 65535, 63, 511, 1, 1, 2, 3),
        "squashed": numbers(100, 999, 10, 100, 1, 0, 4, 2), "small": numbers(9, 4, 63, 511, 0, 1, 6, 0),
    }  # fmt: skip
    source = random.Random(7)
    for i in range(48):
        sizes = [source.randrange(1 << source.randrange(1, 13)) for _ in range(2)]
        rest = [source.randrange(1 << 16) for _ in range(6)]
        out[f"any-{i:02}"] = numbers(*sizes, *rest)
    return out


ANNEX_K_DC = bytes([0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]), bytes(range(12))
ANNEX_K_AC_COUNTS = bytes([0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7D])


def huffman():
    """The standard's tables, short ones and long ones, with data that chance draws."""
    source = random.Random(3)
    values = bytes(range(162))
    out = {}
    tables = {
        "standard": (ANNEX_K_DC, (ANNEX_K_AC_COUNTS, values)),
        "one-code": ((bytes([1] + [0] * 15), b"\0"), (bytes([1] + [0] * 15), b"\0")),
        "two-codes": ((bytes([1, 1] + [0] * 14), b"\0\3"), (bytes([0, 3] + [0] * 14), b"\0\x11\xf0")),
        "long-codes": ((bytes([0] * 15 + [9]), bytes(range(9))), (bytes([1] * 16), values[:16])),
        "too-many": ((bytes([3] + [0] * 15), bytes(3)), (bytes(16), b"")),
        "categories": (ANNEX_K_DC, (bytes([0, 0, 0, 0, 11] + [0] * 11), bytes(range(11)))),
        "runs": (ANNEX_K_DC, (bytes([0, 0, 4, 7] + [0] * 12), bytes([0, 0x11, 0x21, 0xF0, 0x12, 1, 2, 3, 4, 5, 0x31]))),
    }  # fmt: skip
    for name, (dc, ac) in tables.items():
        for want in (0, 2, 9):
            data = bytes(source.randrange(256) for _ in range(300)).replace(b"\xff", b"\xff\0")
            out[f"{name}-{want}"] = b"".join(dc + ac) + bytes([want, 200]) + data
    text = io.BytesIO()
    text.write(b"".join(ANNEX_K_DC + (ANNEX_K_AC_COUNTS, values)) + bytes([3, 255]))
    block = b"\x2b"  # DC difference 0, end of block (00 1010), and ones
    one = text.getvalue()[:-1] + b"\0"
    out["restart"] = one + block + b"\xff\xff\xd0" + block + b"\xff\xd1" + block + b"\xff\xd3"
    out["restart-cut"] = one + block + b"\xff"
    out["restart-none"] = one + block + b"\xff\xd9"
    text.write(b"\x55" * 40)
    out["marker"] = text.getvalue() + b"\xff\xd9"
    out["window"] = text.getvalue() + b"\x5a\xa5\xff\0" * 18000
    return out


def nginx():
    """Our own templates, alone and as `nginx -T` prints several."""
    out, printed = {}, b""
    for path in sorted(glob.glob(NGINX)):
        with open(path, "rb") as file:
            text = file.read()
        name = os.path.basename(path)
        out[name] = text
        printed += b"# configuration file /etc/nginx/" + name.encode() + b":\n" + text + b"\n"
    main = b"# configuration file /etc/nginx/nginx.conf:\nhttp { include /etc/nginx/*.template; }\n"
    return {
        **out, "printed": b"nginx: configuration is ok\n" + main + printed, "quotes": b"a 'b c' \"d\\\"e\" f\\;g;\n",
        "open-quote": b"a 'b", "open-block": b"a { b {", "closed": b"}", "no-end": b"a b", "comment": b"# a\nb; # c\n",
        "variable": b"set $a ${b};", "many-words": b"a " + b"b " * 300 + b";", "include": b"include x*.conf;\n",
        "include-file": b"http {\n include /proc/self/fd/900;\n}\nserver { include 900; include 90?; }\n",
        "include-missing": b"include /nowhere/at/all;\n", "include-directory": b"include /proc/self;\n",
        "escapes": b"a \\n \\t \\r \\\\ \"\\\"\" '\\'' a\\ b \\;\n", "sizes": b"a 1k 2m 3g 4K 5M 6G 7 8x k -1 99999999999999999999g;\n",
        "times": b"a 1ms 2s 3m 4h 5d 6w 7M 8y 1h30m 1m1h 9 ms x 99999999999999999999s;\n",
        "deep": b"a {" * 100 + b"}" * 100, "long-word": b"w" * 9000 + b";", "lua": b"content_by_lua_block { x = { y } }\n",
    }  # fmt: skip


DRAWN = {"nginx": nginx, "config": config, "labels": labels, "recipe": recipe, "npy": npy, "geometry": geometry,
         "huffman": huffman}  # fmt: skip
