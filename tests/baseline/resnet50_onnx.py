#!/usr/bin/python3
"""resnet50_onnx.py OUT.onnx: ResNet-50 with random weights, batch-norm folded in, any batch."""

import sys

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

nodes, weights = [], []
random = numpy.random.default_rng(1)


def parameter(name, *shape):
    fan_in = numpy.prod(shape[1:]) if len(shape) > 1 else 100
    values = random.standard_normal(shape, dtype=numpy.float32) * numpy.sqrt(1 / fan_in)
    weights.append(numpy_helper.from_array(values.astype(numpy.float32), name))
    return name


def conv(x, name, ic, oc, k, stride=1, relu=True):
    inputs = [x, parameter(name + ".w", oc, ic, k, k), parameter(name + ".b", oc)]
    shape = {"kernel_shape": [k, k], "strides": [stride] * 2, "pads": [k // 2] * 4}
    nodes.append(helper.make_node("Conv", inputs, [name], **shape))
    return activate(name) if relu else name


def activate(x):
    nodes.append(helper.make_node("Relu", [x], [x + ".relu"]))
    return x + ".relu"


def block(x, name, ic, mid, stride):
    y = conv(x, name + ".1", ic, mid, 1)
    y = conv(y, name + ".2", mid, mid, 3, stride)
    y = conv(y, name + ".3", mid, 4 * mid, 1, relu=False)
    if ic != 4 * mid or stride != 1:
        x = conv(x, name + ".d", ic, 4 * mid, 1, stride, relu=False)
    nodes.append(helper.make_node("Add", [y, x], [name]))
    return activate(name)


x = conv("x", "stem", 3, 64, 7, 2)
pool = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
nodes.append(helper.make_node("MaxPool", [x], ["pool"], **pool))
x, channels = "pool", 64
for stage, blocks in enumerate((3, 4, 6, 3)):
    for i in range(blocks):
        mid = 64 << stage
        x = block(x, f"s{stage}.{i}", channels, mid, 2 if stage and i == 0 else 1)
        channels = 4 * mid
nodes.append(helper.make_node("GlobalAveragePool", [x], ["mean"]))
nodes.append(helper.make_node("Flatten", ["mean"], ["features"]))
fc = ["features", parameter("fc.w", 1000, 2048), parameter("fc.b", 1000)]
nodes.append(helper.make_node("Gemm", fc, ["y"], transB=1))
shape = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 224, 224])
result = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1000])
graph = helper.make_graph(nodes, "resnet50", [shape], [result], weights)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
model.ir_version = 7
onnx.save(model, sys.argv[1])
