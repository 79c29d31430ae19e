"""export.py DIRECTORY [WEIGHTS]: one ResNet-50 as every opponent wants it, with the same numbers.

  resnet50.pth   its state_dict, for resnet-pack and PyTorch
  resnet50.onnx  for ONNX Runtime: constants folded; batch-norm is left to be folded by ONNX Runtime's
                 own optimiser where the exporter has not done so; any batch
  input.npy      float32 [8, 3, 224, 224]

WEIGHTS: a .pth or .safetensors of torchvision's names; without it, random ones of He's rule, and
batch-norm with statistics that are not trivial. Wants Debian's python3-torch, python3-torchvision and
python3-onnx.
"""

import json
import os
import sys

import numpy
import torch
import torchvision

SIDE, IMAGES, SEED, OPSET = 224, 8, 1, 13
TYPES = {"F32": torch.float32, "I64": torch.int64}


def safetensors(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = file.read()
    header.pop("__metadata__", None)

    def tensor(row):
        begin, end = row["data_offsets"]
        flat = torch.frombuffer(bytearray(data[begin:end]), dtype=TYPES[row["dtype"]])
        return flat.reshape(row["shape"])

    return {name: tensor(row) for name, row in header.items()}


def spread_statistics(net):
    """As trained ones are: none 0, none 1, and no activation that grows without end."""
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.8, 1.6)
            torch.nn.init.uniform_(module.weight, 0.5, 1.0)
            torch.nn.init.uniform_(module.bias, -0.1, 0.1)


def network(weights):
    torch.manual_seed(SEED)
    net = torchvision.models.resnet50(weights=None)
    if weights is None:
        spread_statistics(net)
    elif weights.endswith(".safetensors"):
        net.load_state_dict(safetensors(weights), strict=False)  # torch 0.4 knew no batch counters
    else:
        net.load_state_dict(torch.load(weights, map_location="cpu"), strict=False)
    return net.eval()


def main():
    directory, weights = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    net = network(weights)
    images = torch.randn(IMAGES, 3, SIDE, SIDE)
    torch.save(net.state_dict(), os.path.join(directory, "resnet50.pth"))
    numpy.save(os.path.join(directory, "input.npy"), images.numpy())
    axes = {"x": {0: "n"}, "y": {0: "n"}}
    torch.onnx.export(net, images[:1], os.path.join(directory, "resnet50.onnx"), opset_version=OPSET,
                      do_constant_folding=True, input_names=["x"], output_names=["y"],
                      dynamic_axes=axes)  # fmt: skip


if __name__ == "__main__":
    main()
