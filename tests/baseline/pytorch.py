#!/usr/bin/python3
"""pytorch.py THREADS BATCH SECONDS: forward passes of torchvision's ResNet-50, as JSON."""

import json
import sys
import time

import torch
import torchvision

threads, batch, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
torch.set_num_threads(threads)
network = torchvision.models.resnet50(weights=None).eval().to(memory_format=torch.channels_last)
x = torch.randn(batch, 3, 224, 224).to(memory_format=torch.channels_last)
with torch.inference_mode():
    network = torch.jit.optimize_for_inference(torch.jit.trace(network, x))
    for _ in range(3):
        network(x)
    times, end = [], time.monotonic() + seconds
    while len(times) < 5 or time.monotonic() < end:
        start = time.monotonic()
        network(x)
        times.append(1e3 * (time.monotonic() - start))
times.sort()
print(json.dumps({"min_ms": times[0], "median_ms": times[len(times) // 2]}))
