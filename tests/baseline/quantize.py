"""quantize.py DIRECTORY WEIGHTS PHOTOGRAPH...: resnet50_int8.onnx, the network of export.py in eight
bits, in the form that ONNX Runtime is fastest with: QLinearConv, activations of u8, weights of s8
with a scale per output, batch-norm folded, ReLU as saturation at zero; pooling and the classifier in
integers, too, and logits in floats. Ranges are those of the photographs, the outermost 1/10000 cut.

resnet50_int8.json: {"scale", "zero_point"} of the input, which is u8 [n, 3, 224, 224].
"""

import collections
import json
import os
import sys

import export
import numpy
import onnx
import torch
import torchvision
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from torch.nn import functional

KEPT = 0.9999  # of a tensor's values lie in its range
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MICROSOFT = "com.microsoft"

# A tensor of the graph: what it is for the photographs, its name, and what its bytes mean.
Value = collections.namedtuple("Value", "floats name scale zero")


def photographs(paths):
    recipe = torchvision.transforms.Compose([
        torchvision.transforms.Resize(256), torchvision.transforms.CenterCrop(224),
        torchvision.transforms.ToTensor(), torchvision.transforms.Normalize(MEAN, STD),
    ])  # fmt: skip
    return torch.stack([recipe(Image.open(path).convert("RGB")) for path in paths])


def outermost(floats):
    ordered = floats.abs().flatten().sort().values
    return max(float(ordered[int(KEPT * (len(ordered) - 1))]), 1e-6)


class Graph:
    def __init__(self, images):
        self.nodes, self.constants = [], []
        low, high = -max(m / s for m, s in zip(MEAN, STD)), max((1 - m) / s for m, s in zip(MEAN, STD))
        scale = (high - low) / 255
        self.input = Value(images, "x", scale, round(-low / scale))

    def constant(self, values, kind):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(numpy.array(values, kind), name))
        return name

    def meaning(self, value):
        return [self.constant(value.scale, numpy.float32), self.constant(value.zero, numpy.uint8)]

    def node(self, kind, inputs, floats, scale=None, zero=0, domain="", **attributes):
        """A node whose output is `floats`; its output's meaning goes behind its inputs."""
        out = Value(floats, f"v{len(self.nodes)}", scale, zero)
        self.nodes.append(helper.make_node(kind, inputs, [out.name], domain=domain, **attributes))
        return out

    def weights(self, weight, bias, x):
        """s8 by output, and the bias in their unit: names of values, scales, zeros, and of the bias.
        An output whose weights are next to nothing has a scale that its bias asks for."""
        largest = weight.flatten(1).abs().max(1).values / 127
        scales = torch.maximum(largest, bias.abs() / (x.scale * 2.0**30)).clamp(min=1e-12)
        bytes_ = (weight / scales.reshape(-1, *[1] * (weight.dim() - 1))).round()
        names = [self.constant(bytes_.numpy(), numpy.int8), self.constant(scales.numpy(), numpy.float32),
                 self.constant(numpy.zeros(len(scales)), numpy.int8)]  # fmt: skip
        return names, self.constant((bias / (scales * x.scale)).round().numpy(), numpy.int32)

    def conv(self, x, conv, norm, relu):
        factor = norm.weight / (norm.running_var + norm.eps).sqrt()
        weight = conv.weight * factor[:, None, None, None]
        bias = norm.bias - norm.running_mean * factor
        floats = functional.conv2d(x.floats, weight, bias, conv.stride, conv.padding)
        floats = floats.relu() if relu else floats
        out = Value(floats, "", outermost(floats) / (255 if relu else 127), 0 if relu else 128)
        names, bias = self.weights(weight, bias, x)
        inputs = [x.name, *self.meaning(x), *names, *self.meaning(out), bias]
        return self.node("QLinearConv", inputs, floats, out.scale, out.zero, strides=conv.stride,
                         kernel_shape=conv.kernel_size, pads=conv.padding * 2)  # fmt: skip

    def add(self, a, b):
        floats = (a.floats + b.floats).relu()
        out = Value(floats, "", outermost(floats) / 255, 0)
        inputs = [a.name, *self.meaning(a), b.name, *self.meaning(b), *self.meaning(out)]
        return self.node("QLinearAdd", inputs, floats, out.scale, 0, MICROSOFT)

    def pool(self, x):
        floats = functional.max_pool2d(x.floats, 3, 2, 1)
        return self.node("MaxPool", [x.name], floats, x.scale, x.zero, kernel_shape=[3, 3],
                         strides=[2, 2], pads=[1] * 4)  # fmt: skip

    def mean(self, x):
        floats = x.floats.mean((2, 3))
        out = Value(floats, "", outermost(floats) / 255, 0)
        pooled = self.node("QLinearGlobalAveragePool", [x.name, *self.meaning(x), *self.meaning(out)],
                           floats, out.scale, 0, MICROSOFT, channels_last=0)  # fmt: skip
        return self.node("Flatten", [pooled.name], floats, out.scale, 0, axis=1)

    def classify(self, x, fc):
        names, bias = self.weights(fc.weight, fc.bias, x)
        inputs = [x.name, *self.meaning(x), *names, bias]
        self.nodes.append(helper.make_node("QGemm", inputs, ["y"], domain=MICROSOFT, transB=1))

    def save(self, path, classes):
        ends = [helper.make_tensor_value_info("x", TensorProto.UINT8, ["n", 3, 224, 224]),
                helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", classes])]  # fmt: skip
        graph = helper.make_graph(self.nodes, "resnet50_int8", ends[:1], ends[1:], self.constants)
        sets = [helper.make_opsetid("", export.OPSET), helper.make_opsetid(MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=sets)
        model.ir_version = 8
        onnx.save(model, path)


def block(graph, x, layer):
    y = graph.conv(x, layer.conv1, layer.bn1, True)
    y = graph.conv(y, layer.conv2, layer.bn2, True)
    y = graph.conv(y, layer.conv3, layer.bn3, False)
    if layer.downsample is not None:
        x = graph.conv(x, *layer.downsample, False)
    return graph.add(y, x)


def main():
    directory, weights, paths = sys.argv[1], sys.argv[2], sys.argv[3:]
    net = export.network(weights)
    graph = Graph(photographs(paths))
    with torch.no_grad():
        x = graph.pool(graph.conv(graph.input, net.conv1, net.bn1, True))
        for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
            for layer in stage:
                x = block(graph, x, layer)
        graph.classify(graph.mean(x), net.fc)
    graph.save(os.path.join(directory, "resnet50_int8.onnx"), net.fc.out_features)
    with open(os.path.join(directory, "resnet50_int8.json"), "w", encoding="utf-8") as file:
        json.dump({"scale": graph.input.scale, "zero_point": graph.input.zero}, file)


main()
