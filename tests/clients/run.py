"""Runs the tests in here against the real binary, in an environment of their own.

    python3 tests/clients/run.py [arguments of pytest]

The environment is made once under target/ and again when requirements.txt changes.
"""

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
REQUIREMENTS = HERE / "requirements.txt"


def environment() -> Path:
    """The environment's interpreter."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    folder = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / f"clients-{digest}"
    python = folder / "bin" / "python"
    if (folder / "complete").exists():
        return python
    print(f"Installing the clients of {REQUIREMENTS.relative_to(ROOT)} into {folder}", flush=True)
    try:
        venv.create(folder, clear=True, with_pip=True)
    except subprocess.CalledProcessError:
        sys.exit("Python has no venv. Install it with: sudo apt-get install python3-venv")
    install = [python, "-m", "pip", "install", "--quiet", "--requirement", REQUIREMENTS]
    if subprocess.run(install).returncode != 0:
        sys.exit(
            "pip could not install the clients that the protocol tests need "
            f"({REQUIREMENTS.relative_to(ROOT)}). They come from PyPI: is it reachable?"
        )
    (folder / "complete").touch()
    return python


def main() -> int:
    python = environment()
    arguments = sys.argv[1:] or [HERE]
    if arguments[0] == "bench":
        return subprocess.run([python, HERE / "bench.py", *arguments[1:]]).returncode
    # KServe's client and Triton's bring the same protobuf messages, which one process can't hold.
    kserve = HERE / "test_kserve.py"
    runs = [[f"--ignore={kserve}", HERE], [kserve]] if arguments == [HERE] else [arguments]
    codes = [subprocess.run([python, "-m", "pytest", "-q", *run]).returncode for run in runs]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
