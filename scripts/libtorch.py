#!/usr/bin/env python3
"""Put a CPU libtorch together from PyPI wheels and link it to `.libtorch` in the checkout.

Needs Python 3 with pip, nothing else. The official libtorch archive lives on a host that many
build machines cannot reach; a package index they can.

The result is cached in `${XDG_CACHE_HOME:-~/.cache}/nin-serve/`, built in a scratch folder and
moved into place with one rename: a killed run leaves no cache that a later one would trust.
Every wheel is pinned by version and SHA-256.

A `LIBTORCH` that the user has set wins: this script then only checks that it is there.
"""

import fcntl
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

VERSION = "2.13.0"
CHECKOUT = Path(__file__).resolve().parent.parent

# On x86_64 `libtorch_cpu.so` of the PyPI wheel names two small CUDA libraries as needed. They
# load without a GPU or a driver. `libtorch.so` of the wheel pulls in all of CUDA; it is replaced
# by a link to `libtorch_cpu.so` below.
WHEELS = {
    f"torch=={VERSION}": "796633c4cdf0fe2cdced72d8f88f22e73dbcfce83132763162f6d4bff13b820b",
    "nvidia-cuda-runtime==13.0.96": "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
    "nvidia-cuda-cupti==13.0.85": "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
}
LIBRARIES = {"libtorch_cpu.so", "libc10.so", "libgomp.so.1", "libcudart.so.13", "libcupti.so.13"}
PIP_TARGET = [
    "--no-deps", "--only-binary=:all:", "--implementation=cp", "--python-version=3.12",
    "--abi=cp312", "--abi=none",
    *(f"--platform=manylinux_2_{minor}_x86_64" for minor in (28, 27, 26, 25, 24, 17)),
    "--platform=manylinux2014_x86_64",
]  # fmt: skip


def fail(message):
    sys.exit(f"libtorch: {message}")


def download(into):
    """Fetch the pinned wheels into the folder `into`; pip checks every hash."""
    requirements = into / "requirements.txt"
    requirements.write_text("".join(f"{name} --hash=sha256:{sha}\n" for name, sha in WHEELS.items()))
    pip = [sys.executable, "-m", "pip"]
    if subprocess.run([*pip, "--version"], capture_output=True).returncode != 0:
        fail("Python has no pip. Install it with: sudo apt-get install python3-pip")
    command = [*pip, "download", "--require-hashes", *PIP_TARGET, "-r", requirements, "-d", into]
    if subprocess.run(command).returncode != 0:
        fail("the download failed. Check the network, or set LIBTORCH to a libtorch of your own.")


def unpack(wheels, into):
    """Take the headers and the needed libraries out of the wheels."""
    (into / "lib").mkdir(parents=True)
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.infolist():
                path = Path(member.filename)
                if path.parts[:2] == ("torch", "include"):
                    target = into / Path(*path.parts[1:])
                elif path.name in LIBRARIES:
                    target = into / "lib" / path.name
                else:
                    continue
                if member.is_dir():
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
    missing = LIBRARIES - {path.name for path in (into / "lib").iterdir()}
    if missing:
        fail(f"the wheels lack {', '.join(sorted(missing))}")
    (into / "lib" / "libtorch.so").symlink_to("libtorch_cpu.so")
    (into / "build-version").write_text(f"{VERSION}\n")


def cached():
    """The cached libtorch, made first where it is missing."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nin-serve"
    target = base / f"libtorch-{VERSION}-cpu-x86_64"
    base.mkdir(parents=True, exist_ok=True)
    with (base / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two checkouts may be set up at once
        if not target.is_dir():
            print(f"libtorch: fetching libtorch {VERSION} for the CPU (540 MB, once)", flush=True)
            for stale in base.glob("partial-*"):
                shutil.rmtree(stale, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix="partial-", dir=base) as scratch:
                wheels, tree = Path(scratch, "wheels"), Path(scratch, "libtorch")
                wheels.mkdir()
                download(wheels)
                unpack(wheels, tree)
                os.sync()  # the rename must not reach the disk before the data
                tree.rename(target)
    return target


def main():
    chosen = os.environ.get("LIBTORCH")
    if chosen:
        if not Path(chosen, "lib").is_dir():
            fail(f"LIBTORCH is set to {chosen}, which has no lib folder")
        return
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        fail(
            f"no pinned libtorch for {platform.system()} {platform.machine()}. "
            f"Install libtorch {VERSION} and set LIBTORCH to its folder."
        )
    link, target = CHECKOUT / ".libtorch", cached()
    if link.is_symlink() and link.resolve() == target.resolve():
        return
    fresh = CHECKOUT / f".libtorch.{os.getpid()}"
    fresh.symlink_to(target)
    fresh.replace(link)


if __name__ == "__main__":
    main()
