"""The compose file of this checkout, under a project name of its own."""

import contextlib
import csv
import io
import os
import re
import shutil
import subprocess

from engine import CHECKOUT, NAME, address, docker, expect, fail, healthy, wait_until
from load import get

PORTS = ("NIN_SERVE_PORT", "NIN_STATS_PORT", "NIN_PROMETHEUS_PORT")


class Compose:
    def __init__(self, image, settings):
        # Any free port: the tests use the containers' own addresses.
        ports = dict.fromkeys(PORTS, "127.0.0.1:0")
        self.environment = {**os.environ, **ports, **settings, "NIN_SERVE_IMAGE": image}
        plugin = subprocess.run(["docker", "compose", "version"], capture_output=True)
        if plugin.returncode == 0:
            self.command = ["docker", "compose"]
        elif shutil.which("docker-compose"):
            self.command = ["docker-compose"]
        else:
            fail("Docker Compose is missing. Install it with: sudo apt-get install docker-compose")

    def run(self, *arguments, timeout=180):
        files = ["-p", NAME, "-f", str(CHECKOUT / "docker/compose.yaml")]
        done = subprocess.run(
            [*self.command, *files, *arguments],
            env=self.environment, capture_output=True, text=True, timeout=timeout,
        )  # fmt: skip
        if done.returncode != 0:
            fail(f"compose {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def containers(self, service):
        return self.run("ps", "-q", service).split()

    def down(self):
        self.run("down", "--volumes", "--remove-orphans", "--timeout", "10")


def need_image(variable, kind):
    """The image that the compose file names is here, or is pulled, or is made."""
    text = (CHECKOUT / "docker/compose.yaml").read_text()
    image = re.search(rf"\${{{variable}:-(.+)}}", text)[1]
    if not docker("images", "--quiet", image):
        pulled = subprocess.run(["docker", "pull", "--quiet", image], capture_output=True)
        if pulled.returncode != 0:
            subprocess.run([CHECKOUT / "docker/base-images.sh", kind], check=True)


def replicas(proxy):
    """The proxy's statistics of each replica that it knows."""
    answer = get(proxy, "/stats;csv", port=8404)
    if answer is None:
        return []
    rows = csv.DictReader(io.StringIO(answer[1].decode().lstrip("# ")))
    rows = [row for row in rows if row["pxname"] == "replicas"]
    return [row for row in rows if row["svname"] != "BACKEND"]


def up(proxy):
    return sum(row["status"].startswith("UP") for row in replicas(proxy))


@contextlib.contextmanager
def started(image, *services, **settings):
    """Three replicas that the proxy uses, and `services`; all gone at the end."""
    compose = Compose(image, settings)
    need_image("PROXY_IMAGE", "proxy")
    compose.down()
    try:
        compose.run("up", "--detach", "--no-build", "nin-serve", "proxy", *services)
        containers = compose.containers("nin-serve")
        expect(len(containers) == 3, "three replicas are started")
        wait_until(lambda: all(map(healthy, containers)), 120, "all replicas are healthy")
        proxy = address(compose.containers("proxy")[0])
        wait_until(lambda: up(proxy) == 3, 30, "the proxy uses three")
        yield compose, proxy, containers
    finally:
        compose.down()
