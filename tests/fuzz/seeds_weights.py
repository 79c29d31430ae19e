"""seeds_weights.py: seeds of the readers of weights: pickles by Python's own pickler, zips,
safetensors, model files by resnet-pack."""

import collections
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tempfile
import types
import zipfile


# ---- torch, as far as its pickles name it --------------------------------------------------------


def fake_torch():
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in ("FloatStorage", "HalfStorage", "LongStorage", "BoolStorage", "UntypedStorage"):
        setattr(torch, name, type(name, (), {"__module__": "torch", "__qualname__": name}))
    for name in ("_rebuild_tensor_v2", "_rebuild_parameter", "_rebuild_tensor"):
        function = types.FunctionType((lambda *_: None).__code__, {}, name)
        function.__module__, function.__qualname__ = "torch._utils", name
        setattr(utils, name, function)
    torch._utils = utils
    sys.modules.update({"torch": torch, "torch._utils": utils})
    return torch


class Storage:
    def __init__(self, key, kind, count, data, view=None):
        self.key, self.kind, self.count, self.data, self.view = key, kind, count, data, view


class Tensor:
    def __init__(self, torch, storage, shape, stride=None, offset=0, parameter=False):
        if stride is None:
            stride, step = [], 1
            for side in reversed(shape):
                stride.insert(0, step)
                step *= side
        self.torch, self.parameter = torch, parameter
        self.args = (storage, offset, tuple(shape), tuple(stride), False, collections.OrderedDict())

    def __reduce__(self):
        plain = (self.torch._utils._rebuild_tensor_v2, self.args)
        if not self.parameter:
            return plain
        bare = Tensor(self.torch, self.args[0], self.args[2])
        return self.torch._utils._rebuild_parameter, (bare, False, collections.OrderedDict())


class Pickler(pickle.Pickler):
    legacy = False

    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        common = ("storage", value.kind, value.key, "cpu", value.count)
        return (*common, value.view) if self.legacy else common


def pickled(value, protocol=2, legacy=False):
    out = io.BytesIO()
    pickler = Pickler(out, protocol)
    pickler.legacy = legacy
    pickler.dump(value)
    return out.getvalue()


def state(torch, prefix=""):
    floats = Storage("0", torch.FloatStorage, 24, struct.pack("<24f", *range(24)))
    halves = Storage("1", torch.HalfStorage, 6, bytes(range(12)))
    longs = Storage("2", torch.LongStorage, 1, bytes(8))
    tensors = {
        "conv1.weight": Tensor(torch, floats, (2, 3, 2, 2)),
        "turned": Tensor(torch, floats, (4, 6), (1, 4)),
        "part": Tensor(torch, floats, (3,), (2,), 5),
        "wide": Tensor(torch, floats, (5, 2), (0, 1)),
        "fc.1.weight": Tensor(torch, halves, (2, 3), parameter=True),
        "bn1.num_batches_tracked": Tensor(torch, longs, ()),
        "none": Tensor(torch, floats, (0, 7)),
    }
    named = collections.OrderedDict((prefix + name, tensor) for name, tensor in tensors.items())
    return named, [floats, halves, longs]


def zipped(data, storages, root="net", method=zipfile.ZIP_STORED, more=()):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr(f"{root}/data.pkl", data)
        for storage in storages:
            archive.writestr(f"{root}/data/{storage.key}", storage.data)
        for name, content in more:
            archive.writestr(name, content)
    return out.getvalue()


def legacy(value, storages, little=True):
    system = {"protocol_version": 1001, "little_endian": little, "type_sizes": {"int": 4}}
    start = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps(system, 2)
    body = pickled(value, legacy=True) + pickle.dumps([s.key for s in storages], 2)
    return start + body + b"".join(struct.pack("<q", s.count) + s.data for s in storages)


def wrong_legacy(torch, value, storages):
    def start(magic=0x1950A86A20F9469CFC6C, protocol=1001, system=None):
        return b"".join(pickle.dumps(v, 2) for v in (magic, protocol, system or {"little_endian": True}))

    body, keys = pickled(value, legacy=True), [s.key for s in storages]
    view = Storage("0", torch.FloatStorage, 24, bytes(96), ("0v", 2, 4))
    far = Storage("0", torch.FloatStorage, 24, bytes(96), ("0v", 22, 4))
    return {
        "legacy-magic": start(magic=2**70) + body, "legacy-protocol": start(protocol=3) + body,
        "legacy-system": start(system={"a": 1}) + body,
        "legacy-keys": start() + body + pickle.dumps([1, 2, 3], 2),
        "legacy-no-list": start() + body + pickle.dumps(5, 2),
        "legacy-no-count": start() + body + pickle.dumps(keys, 2) + b"123",
        "legacy-count": start() + body + pickle.dumps(keys, 2) + struct.pack("<q", 99),
        "legacy-a-view": legacy({"a": Tensor(torch, view, (2,))}, [view]),
        "legacy-a-far-view": legacy({"a": Tensor(torch, far, (2,))}, [far]),
    }  # fmt: skip


def wrong_tensors(torch):
    """Descriptions that do not fit what they describe."""
    floats = Storage("0", torch.FloatStorage, 6, bytes(24))
    other = Storage("0", torch.FloatStorage, 5, bytes(24))
    fits = Tensor(torch, floats, (2, 3))

    def changed(i, new):
        tensor = Tensor(torch, floats, (2, 3))
        tensor.args = (*tensor.args[:i], new, *tensor.args[i + 1 :])
        return tensor

    wrong = {
        "past-the-end": Tensor(torch, floats, (3, 3)), "offset": changed(1, 2), "offset-negative": changed(1, -1),
        "offset-text": changed(1, "x"), "shape-text": changed(2, "x"), "shape-negative": changed(2, (-1, 3)),
        "stride-negative": changed(3, (-1, 3)), "strides-fewer": changed(3, (1,)), "overflow": changed(2, (2**40, 2**40)),
        "stride-overflow": changed(3, (2**62, 2**62)), "no-storage": changed(0, 5), "many-dims": Tensor(torch, floats, (1,) * 9),
        "long-key": Tensor(torch, Storage("k" * 99, torch.FloatStorage, 1, bytes(4)), (1,)),
        "number-key": Tensor(torch, Storage(7, torch.FloatStorage, 1, bytes(4)), (1,)),
        "storage-count": Tensor(torch, Storage("0", torch.FloatStorage, -1, bytes(4)), (1,)),
        "storage-type": Tensor(torch, Storage("0", "float", 1, bytes(4)), (1,)),
    }  # fmt: skip
    out = {f"tensor-{name}": zipped(pickled({"a": tensor}), [floats]) for name, tensor in wrong.items()}
    out["tensor-two-sizes"] = zipped(pickled({"a": fits, "b": Tensor(torch, other, (5,))}), [floats])
    out["tensor-name"] = zipped(pickled({"a": fits, 5: fits}), [floats])
    out["prefixes"] = zipped(pickled({"module.conv1.weight": fits, "fc.weight": fits}), [floats])
    out["same-name"] = zipped(pickled({"module.conv1.weight": fits, "conv1.weight": fits}), [floats])
    out["half-values"] = zipped(pickled({"h": Tensor(torch, Storage("1", torch.HalfStorage, 4, b""), (4,))}),
                                [Storage("1", 0, 4, b"\0\x7c\1\x7c\xff\x83\0\xbc")])  # fmt: skip
    return out


def pth():
    torch = fake_torch()
    value, storages = state(torch)
    under = {"epoch": 3, "state_dict": state(torch, "module.")[0], "lr": 0.5}
    data = pickled(value)
    cut = legacy(value, storages)
    return {
        "zip": zipped(data, storages),
        "zip-protocol-4": zipped(pickled(value, 4), storages),
        "zip-deflated": zipped(data, storages, method=zipfile.ZIP_DEFLATED),
        "zip-byteorder": zipped(data, storages, more=[("net/byteorder", b"little")]),
        "zip-big": zipped(data, storages, more=[("net/byteorder", b"big")]),
        "zip-order": zipped(data, storages, more=[("net/byteorder", b"middle")]),
        "zip-two": zipped(data, storages, more=[("other/data.pkl", b".")]),
        "zip-script": zipped(data, storages, more=[("net/constants.pkl", b".")]),
        "zip-without": zipped(data, storages)[:0] + zipped(data, [], root="a/b"),
        "zip-no-storage": zipped(data, storages[:1]),
        "zip-short-storage": zipped(data, [Storage("0", 0, 0, b"1234"), *storages[1:]]),
        "zip-more": zipped(data + b"x", storages),
        "zip-cut": zipped(data, storages)[:-30],
        "under": zipped(pickled(under), storages),
        "under-model": zipped(pickled({"model": value}), storages),
        "legacy": legacy(value, storages),
        "legacy-under": legacy(under, storages),
        "legacy-big": legacy(value, storages, little=False),
        "legacy-cut": cut[:-5], "legacy-more": cut + b"x", "legacy-start": cut[:20],
        **wrong_legacy(torch, value, storages), **wrong_tensors(torch),
        "legacy-view": legacy(value, [storages[0], *storages[2:]]),
        "legacy-twice": legacy(value, [storages[0], storages[0], *storages[2:]]),
        "a-list": zipped(pickled([1, 2]), []), "an-object": zipped(pickled(TextHolder()), []),
        "numbers": zipped(pickled({"a": 1, "b": "x"}), []),
    }  # fmt: skip


class TextHolder:
    def __reduce__(self):
        return print, ("never",)


def raw_pickle(*instructions):
    return b"\x80\x02" + b"".join(instructions) + b"."


def pickles():
    torch = fake_torch()
    value = state(torch)[0]
    things = {
        "numbers": [0, 1, 255, 65535, -1, 2**31, -(2**40), 2**100, True, False, None, 1.5],
        "texts": ["a", "b" * 300, b"c", b"d" * 300, "é"],
        "containers": {"a": (1,), "b": (1, 2), "c": (1, 2, 3), "d": (1, 2, 3, 4), "e": [], "f": {}},
        "sets": {1, 2, 3}, "many": list(range(1200)), "wide": {str(i): i for i in range(300)},
        "ordered": collections.OrderedDict(a=1), "state": value, "itself": [],
        "model": {"state_dict": {"a": 1}, "model": TextHolder()}, "object": TextHolder(),
        "optimizer": {"epoch": 1, "optimizer": TextHolder()},
    }  # fmt: skip
    things["itself"].append(things["itself"])
    out = {}
    for name, thing in things.items():
        for protocol in (2, 3, 4, 5):
            out[f"{name}-{protocol}"] = pickled(thing, protocol)
    out.update({
        "python-2-strings": raw_pickle(b"(U\x01aT\x02\0\0\0bcK\x01t"),
        "pops": raw_pickle(b"K\x01K\x020(K\x01K\x021"), "dup": raw_pickle(b"K\x012\x86"),
        "memo": raw_pickle(b"K\x01q\x05r\x00\x01\x00\x00h\x05j\x00\x01\x00\x00\x87"),
        "memo-empty": raw_pickle(b"h\x07"), "memo-far": raw_pickle(b"K\x01r\xff\xff\xff\xff"),
        "long-4": raw_pickle(b"\x8b\x02\0\0\0\x01\x02"), "long-0": raw_pickle(b"\x8a\x00"),
        "build": raw_pickle(b"ccollections\nOrderedDict\n)R}b"),
        "newobj": raw_pickle(b"ccollections\nOrderedDict\n)\x81"),
        "stack-global": b"\x80\x04\x8c\x0bcollections\x8c\x0bOrderedDict\x93)R.",
        "stack-global-numbers": b"\x80\x04K\x01K\x02\x93.",
        "unknown": raw_pickle(b"cos\nsystem\n"), "name-cut": b"\x80\x02cos", "no-stop": b"\x80\x02K\x01",
        "two-values": raw_pickle(b"K\x01K\x02"), "none": b"\x80\x02.", "protocol-9": b"\x80\x09.",
        "instruction": b"\x80\x02P1\n.", "append-to-number": raw_pickle(b"K\x01K\x02a"),
        "odd-dict": raw_pickle(b"}(K\x01u"), "no-mark": raw_pickle(b"t"), "text-cut": b"X\xff\xff\xff\xff",
        "text-8": b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff", "id-of-nothing": raw_pickle(b"NQ"),
        "reduce-number": raw_pickle(b"K\x01)R"), "float": raw_pickle(b"G" + b"\0" * 8),
        "frame": b"\x80\x04\x95\x02\0\0\0\0\0\0\0N.", "frozen": raw_pickle(b"(K\x01\x91"),
        "additems": raw_pickle(b"\x8f(K\x01\x90"), "parameter": raw_pickle(b"ctorch._utils\n_rebuild_parameter\n)R"),
        "pairs": raw_pickle(b"ccollections\nOrderedDict\n]]K\x01a]K\x02aa\x85R"),
        "pairs-2": raw_pickle(b"ccollections\nOrderedDict\n](]K\x01aK\x02aK\x03K\x04\x86e\x85R"),
        "pairs-number": raw_pickle(b"ccollections\nOrderedDict\n]K\x01a\x85R"),
        "dict-args": raw_pickle(b"ccollections\nOrderedDict\nK\x01\x85R"), "empty-append": raw_pickle(b"K\x01a"),
        "in-list": raw_pickle(b"](cos\nsystem\n"), "in-dict": raw_pickle(b"}cos\nsystem\n"), "key-5": raw_pickle(b"}(K\x05cos\nsystem\n"),
        "under-model": raw_pickle(b"}(U\x0amodel_dictN" b"U\x05model(cos\nsystem\n"), "text-1": b"U\xffa", "long-cut": b"\x8a\xff1",
        "state-then-more": raw_pickle(b"}(U\x10model_state_dict}U\x01x(cos\nsystem\n"), "set-on-number": raw_pickle(b"K\x01}b"),
        "types": raw_pickle(b"ctorch\nDoubleStorage\n0ctorch\nIntStorage\n0ctorch.storage\nUntypedStorage\n0ctorch\nNone\n"),
        "rebuild-short": raw_pickle(b"ctorch._utils\n_rebuild_tensor_v2\n)R"),
    })  # fmt: skip
    return out


# ---- safetensors ---------------------------------------------------------------------------------


def framed(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def data_bytes(header):
    """As far as the last offset that is one."""
    ends = [entry.get("data_offsets", [0])[-1] for entry in header.values() if isinstance(entry, dict)]
    return max([end for end in ends if isinstance(end, int)] + [0])


def safetensors():
    good = {"a": tensor("F32", [2, 3], 0, 24), "b": tensor("F16", [4], 24, 32),
            "c": tensor("BF16", [], 32, 34), "d": tensor("F64", [1], 34, 42),
            "e": tensor("I64", [0], 42, 42)}  # fmt: skip
    data = struct.pack("<6f", *range(6)) + bytes(range(18))
    one = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
    changed = {
        "gap": {"a": tensor("U8", [1], 1, 2)}, "overlap": {"a": tensor("U8", [2], 0, 2), "b": tensor("U8", [1], 1, 2)},
        "wrong-size": {"a": tensor("F32", [1], 0, 2)}, "overflow": {"a": tensor("F32", [2**40, 2**40], 0, 4)},
        "negative": {"a": tensor("F32", [-1], 0, 4)}, "backwards": {"a": tensor("F32", [1], 4, 0)},
        "dtype": {"a": tensor("F8", [1], 0, 1)}, "dtype-long": {"a": tensor("F" * 40, [1], 0, 1)},
        "dtype-number": {"a": tensor(1, [1], 0, 1)}, "dims": {"a": tensor("U8", [1] * 9, 0, 1)},
        "shape": {"a": tensor("U8", {}, 0, 1)}, "offsets": {"a": {"dtype": "U8", "shape": [1], "data_offsets": [0]}},
        "offset-text": {"a": tensor("U8", [1], "0", 1)}, "beyond": {"a": tensor("U8", [9], 0, 9)},
        "no-object": {"a": 1}, "keys": {"a": {"dtype": "U8"}}, "metadata-number": {"__metadata__": {"a": 1}},
        "metadata-array": {"__metadata__": []}, "long-name": {"n" * 400: tensor("U8", [0], 0, 0)},
        "empty-name": {"": tensor("U8", [0], 0, 0)}, "control": {"a\n": tensor("U8", [0], 0, 0)},
        "nul": {"a\0b": tensor("U8", [0], 0, 0)},
        "prefixes": {"module.conv1.weight": tensor("U8", [0], 0, 0), "fc.weight": tensor("U8", [0], 0, 0)},
        "same-after-prefix": {"model.conv1.weight": tensor("U8", [0], 0, 0), "conv1.weight": tensor("U8", [0], 0, 0)},
        "heads": {"fc.1.weight": tensor("U8", [0], 0, 0), "fc.weight": tensor("U8", [0], 0, 0)},
    }  # fmt: skip
    return {
        "good": framed({"__metadata__": {"format": "pt"}, **good}, data),
        "padded": framed(json.dumps(good).encode() + b"   ", data),
        "more-data": framed(good, data + b"x"), "less-data": framed(good, data[:-1]),
        "twice": framed(one + b"," + one[1:] + b"}", data[:4]),
        "key-twice": framed(b'{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', data[:4]),
        "metadata-twice": framed(b'{"__metadata__":{"a":"b","a":"c"}}'),
        "entry-twice": framed(b'{"a":{"dtype":"U8","dtype":"U8","shape":[0]}}'),
        "not-json": framed(b"{nonsense}"), "array": framed(b"[]"), "empty": framed(b"{}"),
        "length-too-long": struct.pack("<Q", 2**40) + b"{}", "length-over": struct.pack("<Q", 500) + b"{}",
        "tiny": b"1234567", "network": network(),
        **{name: framed(header, data[: data_bytes(header)]) for name, header in changed.items()},
    }  # fmt: skip


def network():
    """A ResNet-18 with a channel or two in each layer."""
    shapes = {"conv1.weight": [1, 3, 7, 7], "bn1": 1}
    before = 1
    for stage in range(4):
        width = 1
        for block in range(2):
            name = f"layer{stage + 1}.{block}."
            shapes[name + "conv1.weight"] = [width, before, 3, 3]
            shapes[name + "conv2.weight"] = [width, width, 3, 3]
            shapes[name + "bn1"] = shapes[name + "bn2"] = width
            if block == 0 and stage > 0:
                shapes[name + "downsample.0.weight"] = [width, before, 1, 1]
                shapes[name + "downsample.1"] = width
            before = width
    shapes["fc.weight"], shapes["fc.bias"] = [2, before], [2]
    header, data = {}, b""
    for name, shape in shapes.items():
        parts = {name: shape}
        if isinstance(shape, int):
            parts = {f"{name}.{part}": [shape] for part in ("weight", "bias", "running_mean", "running_var")}
            parts[name + ".num_batches_tracked"] = []
        for part, dims in parts.items():
            count, integer = 1, part.endswith("tracked")
            for side in dims:
                count *= side
            size = count * (8 if integer else 4)
            header[part] = tensor("I64" if integer else "F32", dims, len(data), len(data) + size)
            data += bytes(size) if integer else struct.pack("<f", 0.5) * count
    return framed(header, data)


# ---- model files ---------------------------------------------------------------------------------


def rnm():
    out = {}
    with tempfile.TemporaryDirectory() as directory:
        for name, options in {
            "fp32": ["--classes", "3"],
            "all": ["--classes", "2", "--precision", "fp32,bf16,int8"],
        }.items():
            path = os.path.join(directory, name)
            subprocess.run(
                [os.path.join(os.environ.get("BUILD", "build"), "bin", "resnet-pack"), "random", "--seed", "1", "--depth", "18",
                 "--width", "1/64", *options, "-o", path],
                check=True, capture_output=True,
            )  # fmt: skip
            with open(path, "rb") as file:
                out[name] = file.read()
    out.update(changed_heads(out["fp32"]))
    out["section-damaged"] = out["fp32"][:-200] + b"\x55" + out["fp32"][-199:]
    out["cut"] = out["fp32"][: len(out["fp32"]) // 2]
    out["head"] = out["fp32"][:4096]
    out["header"] = out["fp32"][:296]
    out["not"] = b"\x89PNG" + out["fp32"][4:400]
    return out


# What the header has where, as model_format.h says.
FIELDS = {
    "version": (8, "<I"), "file": (16, "<Q"), "head": (24, "<Q"), "name": (96, "B"), "arch": (160, "B"),
    "classes": (192, "<I"), "features": (196, "<I"), "flags": (200, "<I"), "n-sections": (204, "<I"),
    "resize": (208, "<I"), "activation": (224, "<I"), "sections": (256, "<Q"), "labels": (264, "<Q"),
    "labels-bytes": (272, "<Q"), "selftest": (280, "<Q"), "selftest-bytes": (288, "<Q"),
}  # fmt: skip
# The same of the first section, and of its first tensor, from where they begin.
SECTION = {"layout": (0, "B"), "n-tensors": (28, "<I"), "offset": (32, "<Q"), "tensors": (48, "<Q"), "bytes": (40, "<Q")}
TENSOR = {"name": (0, "B"), "dtype": (48, "<I"), "ndim": (52, "<I"), "dim": (56, "<Q"), "dim-1": (64, "<Q"),
          "offset": (88, "<Q"), "bytes": (96, "<Q")}  # fmt: skip


def changed_heads(whole):
    """Each field too large by one, and as large as can be, and none."""
    out = {}
    section = struct.unpack_from("<Q", whole, 256)[0]
    tensor = struct.unpack_from("<Q", whole, section + 48)[0]
    selftest = struct.unpack_from("<Q", whole, 280)[0]
    groups = {"": (0, FIELDS), "section-": (section, SECTION), "tensor-": (tensor, TENSOR),
              "test-": (selftest, {"stages": (8, "<I"), "logits": (12, "<I")})}  # fmt: skip
    for prefix, (start, fields) in groups.items():
        for name, (at, kind) in fields.items():
            size = struct.calcsize(kind)
            value = struct.unpack_from(kind, whole, start + at)[0]
            for title, new in {"more": value + 1, "most": 256**size - 1, "none": 0}.items():
                copy = bytearray(whole)
                struct.pack_into(kind, copy, start + at, new % 256**size)
                out[f"{prefix}{name}-{title}"] = bytes(copy)
    return out


DRAWN = {"pth": pth, "pickle": pickles, "safetensors": safetensors, "rnm": rnm}
