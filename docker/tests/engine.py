"""The container engine of this machine, by its command line."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent
# Everything that the tests make bears this name, and is removed at the end.
NAME = "nin-serve-test"


def docker(*arguments, check=True, timeout=120):
    """Runs `docker` and returns what it printed."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=timeout)
    if check and done.returncode != 0:
        fail(f"docker {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def fail(message):
    sys.exit(f"FAILED: {message}")


def expect(truth, message):
    """Ends the test where `truth` is false, else says what holds."""
    if not truth:
        fail(message)
    print(f"  ok: {message}", flush=True)


def need_engine():
    """Ends the program, without an error, where no engine can run containers."""
    if shutil.which("docker") is None:
        reason = "there is no `docker` command on this machine"
    else:
        asked = subprocess.run(
            ["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, text=True
        )
        if asked.returncode == 0:
            print(f"engine: Docker {asked.stdout.strip()}", flush=True)
            return
        reason = asked.stderr.strip() or "the engine does not answer"
    print(f"SKIPPED: no Docker engine, so nothing about the image was tested: {reason}")
    sys.exit(0)


def build():
    """Builds the image under test; it is called NAME."""
    begun = time.monotonic()
    done = subprocess.run([CHECKOUT / "docker" / "build.sh", NAME], timeout=3000)
    if done.returncode != 0:
        fail("the image was not built")
    print(f"built in {time.monotonic() - begun:.0f} s", flush=True)


def inspect(container):
    return json.loads(docker("inspect", container))[0]


def address(container):
    """Where the container answers. Its own address and not a published port: the engine's relay
    accepts connections in the name of a container that has ended, and would hide losses."""
    for network in inspect(container)["NetworkSettings"]["Networks"].values():
        if network["IPAddress"]:
            return network["IPAddress"]
    fail(f"{container} has no address")


def wait_until(condition, seconds, what):
    """The first true answer of `condition`, asked ten times a second."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.1)
    fail(f"after {seconds} s still not: {what}")


def healthy(container):
    return inspect(container)["State"].get("Health", {}).get("Status") == "healthy"
