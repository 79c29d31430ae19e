"""bench_torch.py WEIGHTS.pth INPUT.npy THREADS BATCH SECONDS eager|jit: times PyTorch on the CPU, and
prints one line of JSON. eager: batch-norm as it is, channels last, the faster of its two layouts here;
jit: traced, frozen and optimised for inference, which folds batch-norm."""

import json
import sys
import time

import numpy
import torch
import torchvision

MIN_RUNS, WARM_RUNS = 3, 2


def network(weights, images, how):
    net = torchvision.models.resnet50(weights=None)
    net.load_state_dict(torch.load(weights))
    net = net.eval()
    if how == "jit":
        traced = torch.jit.freeze(torch.jit.trace(net, images))
        return torch.jit.optimize_for_inference(traced), images
    last = {"memory_format": torch.channels_last}
    return net.to(**last), images.to(**last)


def main():
    weights, source, threads, batch, seconds, how = sys.argv[1:]
    torch.set_num_threads(int(threads))
    images = torch.from_numpy(numpy.load(source)[: int(batch)].copy())
    times = []
    with torch.inference_mode():
        net, images = network(weights, images, how)
        for _ in range(WARM_RUNS):
            y = net(images)
        cpu, start = time.process_time(), time.perf_counter()
        while len(times) < MIN_RUNS or time.perf_counter() - start < float(seconds):
            before = time.perf_counter()
            net(images)
            times.append(1000 * (time.perf_counter() - before))
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    times.sort()
    print(json.dumps({
        "version": torch.__version__, "runs": len(times), "min_ms": times[0],
        "median_ms": times[len(times) // 2], "cpu_per_wall": cpu / wall,
        "cpu_ms": 1000 * cpu / len(times),
        "logits": y[0].tolist(),
    }))  # fmt: skip


main()
