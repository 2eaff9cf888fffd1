#!/usr/bin/env python3
"""A Python server of nin-cifar10 to hold nin-serve against: `nin-serve bench --peer`.

PyTorch as fast as it goes: channels-last, traced, frozen and fused for oneDNN in f32, or compiled by
inductor in f32 or bf16, which needs a C++ compiler; whichever runs a batch soonest. Batches are formed
while the network is busy, JPEGs decoded by libjpeg-turbo at a part of their size, ASGI is without a
framework.

  python3 -m venv .peer
  .peer/bin/pip install torch==2.13.0 safetensors==0.8.0 numpy==2.4.6 pillow uvicorn uvloop httptools
  .peer/bin/python scripts/peer.py &
  target/release/nin-serve bench --only nin-cifar10 --peer 127.0.0.1:8000/classify
"""

import argparse
import asyncio
import io
import json
import os
import statistics
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch._dynamo.config as dynamo
import torch._inductor.config as inductor
import uvicorn
from PIL import Image
from safetensors.torch import load_file
from torch import nn

PRECISIONS = {"f32": torch.float32, "bf16": torch.bfloat16}
SIDE = 32
# What a batch is filled up to: kernels are made for a size.
SIZES = [32, 16, 8, 4, 2, 1]
BLACK = np.zeros((SIDE, SIDE, 3), np.uint8)
# A reduced picture keeps this many pixels on each side.
SPARE = 128


def network(folder, precision):
    """The layers of the preset nin-cifar, for pixels from 0 to 255, `[N, 3, 32, 32]`."""
    weights = load_file(folder / "weights.safetensors")
    spec = tomllib.loads((folder / "model.toml").read_text())["input"]
    paddings, layers = [2, 0, 0, 2, 0, 0, 1, 0, 0], []
    pools = {3: nn.MaxPool2d(3, 2, ceil_mode=True), 6: nn.AvgPool2d(3, 2, ceil_mode=True)}
    for index, padding in enumerate(paddings, 1):
        weight = weights[f"conv{index}.weight"].float()
        filters, channels, kernel, _ = weight.shape
        conv = nn.Conv2d(channels, filters, kernel, padding=padding)
        conv.weight.data, conv.bias.data = weight, weights[f"conv{index}.bias"].float()
        layers += [conv, nn.ReLU()] + ([pools[index]] if index in pools else [])
    column = lambda values: torch.tensor(values).view(1, -1, 1, 1)
    mean, std = column(spec["mean"]), column(spec["std"])

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(*layers)
            self.mean, self.std = mean, std

        def forward(self, x):
            x = (x.float() / 255 - self.mean) / self.std
            return self.layers(x.to(precision)).float().mean((2, 3)).softmax(1)

    net = Net().eval().to(memory_format=torch.channels_last)
    net.layers.to(precision)
    return net


def traced(net, examples):
    frozen = torch.jit.freeze(torch.jit.trace(net, examples[2]))
    return torch.jit.optimize_for_inference(frozen)


def compiled(net, _):
    inductor.freezing, dynamo.recompile_limit = True, 64
    return torch.compile(net, dynamic=False)


WAYS = {"f32": [traced, compiled], "bf16": [compiled]}


def fastest(folder, names):
    """The network as PyTorch runs it fastest on batches of SIZES, in one of the precisions named."""
    torch.set_num_threads(os.cpu_count())
    found = []
    with torch.inference_mode():
        examples = [batch([BLACK] * size) for size in SIZES]
        for name, way in [(name, way) for name in names for way in WAYS[name]]:
            try:
                net = way(network(folder, PRECISIONS[name]), examples)
                for example in examples * 3:
                    net(example)
            except RuntimeError as error:  # no compiler, or none of these instructions
                print(f"without {name}, {way.__name__}: {error}", file=sys.stderr)
                continue
            found.append((median_time(net, examples[0]), f"{name}, {way.__name__}", net))
    took, name, net = min(found, key=lambda one: one[0])
    print(f"peer: {name}, {1e3 * took:.1f} ms for {SIZES[0]} pictures", file=sys.stderr)
    return net


def median_time(net, example, times=9):
    """Seconds."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        net(example)
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def batch(pictures):
    """`[N, 3, 32, 32]` in channels-last order of pictures `[32, 32, 3]`."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


def decode(body):
    picture = Image.open(io.BytesIO(body))
    picture.draft("RGB", (SPARE, SPARE))
    return np.asarray(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))


class Server:
    def __init__(self, folder, names):
        self.labels = (folder / "labels.txt").read_text().split("\n")
        self.decoders = ThreadPoolExecutor(os.cpu_count())
        self.engine = ThreadPoolExecutor(1)
        # On the thread that will run it: dynamo's settings are of a thread.
        self.net = self.engine.submit(fastest, folder, names).result()
        self.waiting = asyncio.Queue()
        self.collector = None

    def infer(self, pictures):
        size = min(size for size in SIZES if size >= len(pictures))
        filled = pictures + [BLACK] * (size - len(pictures))
        with torch.inference_mode():
            return self.net(batch(filled))[: len(pictures)].tolist()

    async def collect(self):
        loop = asyncio.get_running_loop()
        while True:
            jobs = [await self.waiting.get()]
            while len(jobs) < SIZES[0] and not self.waiting.empty():
                jobs.append(self.waiting.get_nowait())
            answers = await loop.run_in_executor(self.engine, self.infer, [job[0] for job in jobs])
            for (_, reply), answer in zip(jobs, answers):
                reply.set_result(answer)

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return
        loop = asyncio.get_running_loop()
        self.collector = self.collector or loop.create_task(self.collect())
        parts, more = [], True
        while more:
            message = await receive()
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        picture = await loop.run_in_executor(self.decoders, decode, b"".join(parts))
        reply = loop.create_future()
        self.waiting.put_nowait((picture, reply))
        ranked = sorted(zip(await reply, self.labels), reverse=True)
        body = json.dumps({"predictions": [{"label": l, "probability": p} for p, l in ranked]})
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body.encode()})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, default=Path("models/nin-cifar10"))
    parser.add_argument("--precision", choices=["f32", "bf16", "auto"], default="auto")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    names = [arguments.precision] if arguments.precision in PRECISIONS else list(PRECISIONS)
    server = Server(arguments.model, names)
    uvicorn.run(server, port=arguments.port, log_level="warning", lifespan="off")


if __name__ == "__main__":
    main()
