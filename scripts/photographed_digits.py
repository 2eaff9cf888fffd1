#!/usr/bin/env python3
"""Makes pictures of digits as a phone takes them, to measure models of digits on.

    pip install pillow numpy
    scripts/photographed_digits.py MNIST/test OUT [COUNT]
    nin-serve evaluate --model models/nin-mnist-mlpconv --data OUT

MNIST/test holds a folder per class of light strokes on black, 28×28 pixels. Each of COUNT pictures
per class (100) is one of them, in dark ink of any colour on light paper, 15 to 60 % of the shorter
side high, anywhere in a picture of 240 to 800 pixels a side, turned by up to 10°. The paper is lit
from one side (down to half of its brightness) and darker in the corners, and the camera adds blur,
noise and JPEG artefacts. The seed is fixed, so all see the same pictures.
"""

import pathlib
import sys

import numpy as np
from PIL import Image, ImageFilter

SEED = 20130401


def paper(width, height, rng):
    """Light paper `[H, W, 3]`, 0 to 255, under uneven light."""
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    angle = rng.uniform(0, 2 * np.pi)
    slope = rng.uniform(0, 0.5) * (1 + np.cos(angle) * x + np.sin(angle) * y) / 2
    vignette = rng.uniform(0, 0.15) * (x * x + y * y) / 2
    tint = rng.uniform(0.9, 1.0, 3)
    return rng.uniform(190, 250) * (1 - slope - vignette)[..., None] * tint


def photograph(digit, rng):
    """A photograph of `digit`, light strokes on black, as ink on paper."""
    width, height = rng.integers(240, 801, 2)
    side = int(min(width, height) * rng.uniform(0.15, 0.6) * 28 / 20)
    ink = digit.resize((side, side), Image.Resampling.BICUBIC)
    ink = ink.rotate(rng.uniform(-10, 10), Image.Resampling.BICUBIC)
    # A digit fills the middle 20 of 28 parts, so the margin may leave the picture, the ink may not.
    margin = side * 3 // 28
    left = int(rng.integers(-margin, width - side + margin + 1))
    top = int(rng.integers(-margin, height - side + margin + 1))
    mask = Image.new("L", (int(width), int(height)))
    mask.paste(ink, (left, top))
    mask = np.asarray(mask, float)[..., None] / 255
    ground = paper(width, height, rng)
    shade = rng.uniform(0.1, 0.45, 3)
    picture = ground * (1 - mask * (1 - shade)) + rng.normal(0, rng.uniform(1, 5), ground.shape)
    picture = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    return picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.2)))


def main(source, out, count=100):
    rng = np.random.default_rng(SEED)
    for folder in sorted(path for path in pathlib.Path(source).iterdir() if path.is_dir()):
        target = pathlib.Path(out, "test", folder.name)
        target.mkdir(parents=True, exist_ok=True)
        files = sorted(folder.glob("*.png"))
        for file in rng.choice(np.array(files, object), int(count), replace=False):
            with Image.open(file) as digit:
                picture = photograph(digit.convert("L"), rng)
            picture.save(target / f"{file.stem}.jpg", quality=int(rng.integers(60, 95)))


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(*sys.argv[1:])
