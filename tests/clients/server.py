"""A server process to talk to, and pictures to send."""

import io
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parent.parent.parent
BINARY = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "nin-serve"
MODEL = "nin-mnist"
ADMIN = {"X-API-Key": "admin"}
# Longer than it takes on a busy machine.
PATIENCE = 120


class Server:
    """Serves two copies of the shipped model, `nin-mnist` and `second`."""

    def __init__(self, folder: Path, *arguments: str):
        self.models = folder / "models"
        for name in (MODEL, "second"):
            shutil.copytree(ROOT / "models" / MODEL, self.models / name)
        settings = {k: v for k, v in os.environ.items() if not k.startswith("NIN_")}
        self.process = subprocess.Popen(
            [BINARY, "--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0"]
            + ["--models", self.models, "--default-model", MODEL, "--admin-key", "admin"]
            + ["--log-format", "json", *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env=settings,
        )
        self.http, self.grpc = self._addresses()
        self.url = f"http://{self.http}"

    def _addresses(self) -> tuple[str, str]:
        seen = []
        for line in self.process.stderr:
            seen.append(line)
            entry = json.loads(line) if line.startswith("{") else {}
            fields = entry.get("fields", entry)
            if fields.get("message") == "ready":
                # The pipe must be emptied.
                threading.Thread(target=self.process.stderr.read, daemon=True).start()
                return fields["address"], fields["grpc"]
        raise RuntimeError("the server did not start:\n" + "".join(seen))

    def stop(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def digit(text: str, side: int = 160) -> bytes:
    """A PNG of a printed digit, black on white."""
    picture = Image.new("L", (side, side), 255)
    font = ImageFont.load_default(size=side * 0.7)
    draw = ImageDraw.Draw(picture)
    draw.text((side / 2, side / 2), text, fill=0, font=font, anchor="mm", stroke_width=side // 50)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
