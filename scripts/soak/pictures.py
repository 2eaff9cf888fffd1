"""What is sent: pictures with the answers that they must get, and things that are none."""

import base64
import json
import struct
import subprocess
import zlib
from pathlib import Path

# The model of all requests that name none: of a small one, HTTP and decoding are the most part.
MODEL = "nin-mnist"
# Batches add in another order than single pictures do.
TOLERANCE = 1e-3


class Pictures:
    def __init__(self, binary: Path, models: Path, folder: Path):
        files = sorted(path for path in folder.iterdir() if path.is_file())
        files += sorted(models.glob("*/*.png"))
        # Before there is any load, and by another way than the requests will go.
        answers = subprocess.run(
            [binary, "classify", "--json", "--top-k", "1", "--models", models, "--model", MODEL]
            + files,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        best = [json.loads(line)["predictions"][0] for line in answers.splitlines()]
        assert len(best) == len(files), f"{len(best)} answers for {len(files)} files"
        self.good = [(path.read_bytes(), answer) for path, answer in zip(files, best)]
        self.huge = grey_png(4000, 3000)

    def is_right(self, index: int, body: bytes) -> bool:
        """Whether `body` says of picture `index` what it shall."""
        return self.is_best(index, json.loads(body)["predictions"][0])

    def is_best(self, index: int, found: dict) -> bool:
        expected = self.good[index][1]
        near = abs(found["probability"] - expected["probability"]) < TOLERANCE
        return found["index"] == expected["index"] and near

    def bad(self) -> list[tuple[str, str, bytes, int]]:
        """Path, content type, body, status."""
        picture = self.good[0][0]
        bomb = png_chunks(struct.pack(">IIBBBBB", 50000, 50000, 8, 0, 0, 0, 0), b"")
        text = b"this is a text about pictures"
        svg = b"<svg xmlns='http://www.w3.org/2000/svg' width='8' height='8'/>"
        raw, form = "application/octet-stream", "multipart/form-data; boundary=x"
        return [
            ("/classify", raw, text, 415),
            ("/classify", "image/svg+xml", svg, 415),
            ("/classify", raw, picture[: len(picture) // 2], 422),
            ("/classify", raw, b"", 400),
            ("/classify", "application/json", b'{"image": "a?b"}', 400),
            ("/classify", "application/json", b"[" * 5000, 400),
            ("/classify", form, b"--x\r\nno end", 400),
            ("/classify", raw, bomb, 413),
            ("/classify?top_k=0", raw, picture, 400),
            ("/classify?model=none", raw, picture, 404),
            ("/explain?class=none", raw, picture, 400),
            ("/nowhere", raw, picture, 404),
            ("/health", raw, picture, 405),
            ("/v2/models/nin-mnist/infer", "application/json", b'{"inputs": []}', 400),
        ]


def as_json(pictures: list[bytes]) -> bytes:
    return json.dumps({"images": [base64.b64encode(p).decode() for p in pictures]}).encode()


def grey_png(width: int, height: int) -> bytes:
    row = b"\0" + bytes(x * 7 % 251 for x in range(width))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return png_chunks(header, zlib.compress(row * height))


def png_chunks(header: bytes, pixels: bytes) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    chunks = [(b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, content) for kind, content in chunks)
