"""checkpoint.py: weights for tests as files that people have: safetensors, .pth (zip), .pth (as
PyTorch wrote it before 1.6). A checkpoint is a dict: name -> (shape, floats as bytes).

PyTorch is not needed: its pickles name a function and a class, which stand-ins can carry.
"""

import array
import collections
import io
import json
import pickle
import random
import struct
import sys
import types
import zipfile


def values(tensor):
    _, data = tensor
    return array.array("f", data)


def _count(shape):
    n = 1
    for size in shape:
        n *= size
    return n


def resnet(depth=18, width=4, classes=10, seed=1):
    """A torchvision-style ResNet-18 or -50 with batch-norm statistics that are not trivial."""
    rng, out = random.Random(seed), collections.OrderedDict()
    blocks, bottleneck = {18: ((2, 2, 2, 2), False), 50: ((3, 4, 6, 3), True)}[depth]

    def tensor(name, shape, low, high):
        numbers = [rng.uniform(low, high) for _ in range(_count(shape))]
        out[name] = (shape, array.array("f", numbers).tobytes())

    def conv(name, norm, oc, ic, k):
        limit = (6 / (ic * k * k)) ** 0.5
        tensor(name + ".weight", (oc, ic, k, k), -limit, limit)
        tensor(norm + ".weight", (oc,), 0.5, 1.5)
        tensor(norm + ".bias", (oc,), -0.2, 0.2)
        tensor(norm + ".running_mean", (oc,), -0.2, 0.2)
        tensor(norm + ".running_var", (oc,), 0.5, 2)

    conv("conv1", "bn1", width, 3, 7)
    channels = width
    for stage, n in enumerate(blocks):
        mid = width << stage
        wide = mid * 4 if bottleneck else mid
        for i in range(n):
            block = f"layer{stage + 1}.{i}"
            shapes = ([(mid, channels, 1), (mid, mid, 3), (wide, mid, 1)] if bottleneck
                      else [(mid, channels, 3), (mid, mid, 3)])  # fmt: skip
            for j, (oc, ic, k) in enumerate(shapes, 1):
                conv(f"{block}.conv{j}", f"{block}.bn{j}", oc, ic, k)
            if i == 0 and channels != wide:
                conv(f"{block}.downsample.0", f"{block}.downsample.1", wide, channels, 1)
            channels = wide
    tensor("fc.weight", (classes, channels), -1, 1)
    tensor("fc.bias", (classes,), -1, 1)
    return out


def safetensors(tensors):
    header, at = {}, 0
    for name, (shape, data) in tensors.items():
        offsets = [at, at + len(data)]
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": offsets}
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(d for _, d in tensors.values())


def read_safetensors(path):
    """The F32 tensors of a file, in the file's order."""
    with open(path, "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(size))
        body = file.read()
    rows = [(name, row) for name, row in header.items() if row.get("dtype") == "F32"]
    return collections.OrderedDict(
        (name, (tuple(row["shape"]), body[slice(*row["data_offsets"])])) for name, row in rows
    )


# ---- PyTorch's pickles ---------------------------------------------------------------------------


class _Storage:
    def __init__(self, key, tensor):
        self.key, self.data = key, tensor[1]


class _Tensor:
    def __init__(self, storage, shape):
        self.storage, self.shape = storage, shape


def _stand_ins():
    """torch.FloatStorage and torch._utils._rebuild_tensor_v2, as far as pickle looks at them."""

    def rebuild(*_):
        raise AssertionError("only a name")

    rebuild.__module__, rebuild.__name__ = "torch._utils", "_rebuild_tensor_v2"
    rebuild.__qualname__ = rebuild.__name__
    storage = type("FloatStorage", (), {"__module__": "torch"})
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    torch.FloatStorage, torch._utils, utils._rebuild_tensor_v2 = storage, utils, rebuild
    return {"torch": torch, "torch._utils": utils}


def _strides(shape):
    strides, step = [], 1
    for size in reversed(shape):
        strides.insert(0, step)
        step *= size
    return tuple(strides)


class _Pickler(pickle.Pickler):
    def __init__(self, file, modules, tail):
        super().__init__(file, protocol=2)
        self.modules, self.tail = modules, tail

    def persistent_id(self, obj):
        if not isinstance(obj, _Storage):
            return None
        kind = self.modules["torch"].FloatStorage
        return ("storage", kind, obj.key, "cpu", len(obj.data) // 4) + self.tail

    def reducer_override(self, obj):
        if not isinstance(obj, _Tensor):
            return NotImplemented
        rebuild = self.modules["torch._utils"]._rebuild_tensor_v2
        hooks = collections.OrderedDict()
        return rebuild, (obj.storage, 0, obj.shape, _strides(obj.shape), False, hooks)


def _pickled(tensors, wrap, tail):
    """-> the pickle of wrap(state_dict), and its storages in order"""
    storages = [_Storage(str(i), tensor) for i, tensor in enumerate(tensors.values())]
    pairs = zip(tensors.items(), storages)
    state = collections.OrderedDict((n, _Tensor(s, t[0])) for (n, t), s in pairs)
    modules, file = _stand_ins(), io.BytesIO()
    saved = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        _Pickler(file, modules, tail).dump(wrap(state))
    finally:
        for name, module in saved.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module
    return file.getvalue(), storages


def pth_zip(tensors, wrap=lambda state: state):
    data, storages = _pickled(tensors, wrap, ())
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", data)
        for storage in storages:
            archive.writestr("archive/data/" + storage.key, storage.data)
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


def pth_legacy(tensors, wrap=lambda state: state):
    data, storages = _pickled(tensors, wrap, (None,))
    sizes = {"short": 2, "int": 4, "long": 4}
    info = {"protocol_version": 1001, "little_endian": True, "type_sizes": sizes}
    start = [0x1950A86A20F9469CFC6C, 1001, info]
    out = [pickle.dumps(part, protocol=2) for part in start]
    out += [data, pickle.dumps([s.key for s in storages], protocol=2)]
    for storage in storages:
        out += [struct.pack("<q", len(storage.data) // 4), storage.data]
    return b"".join(out)
