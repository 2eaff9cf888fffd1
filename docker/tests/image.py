"""Runs the image as a production system would, and takes it down under load."""

import gzip
import json
import os
import re
import subprocess
import time

from engine import NAME, address, docker, expect, healthy, inspect, wait_until
from load import DIGIT, Client, Load, get, ppm, tally

LIMITS = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--memory=1g"]
LARGEST_UNPACKED, LARGEST_PACKED = 600_000_000, 220_000_000


def start(image, cpus):
    """A container that is healthy; prints how long that took."""
    begun = time.monotonic()
    docker("run", "--detach", "--name", NAME, *LIMITS, f"--cpus={cpus}", image)
    host = address(NAME)
    wait_until(lambda: (get(host, "/health/ready") or [0])[0] == 200, 60, "ready")
    ready = time.monotonic() - begun
    wait_until(lambda: healthy(NAME), 60, "healthy by the image's own check")
    print(f"  start: ready after {ready:.1f} s, healthy after {time.monotonic() - begun:.1f} s")
    return host


def remove():
    docker("rm", "--force", NAME, check=False)


def sizes(image):
    unpacked = int(docker("image", "inspect", "--format", "{{.Size}}", image))
    packed = 0
    with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as save:
        counter = Counted()
        with gzip.GzipFile(fileobj=counter, mode="wb", compresslevel=6) as archive:
            while chunk := save.stdout.read(1 << 20):
                archive.write(chunk)
        packed = counter.bytes
    print(f"  size: {unpacked / 1e6:.0f} MB unpacked, {packed / 1e6:.0f} MB compressed")
    expect(unpacked <= LARGEST_UNPACKED, "at most 600 MB unpacked")
    expect(packed <= LARGEST_PACKED, "at most 220 MB compressed")
    history = docker("history", "--no-trunc", "--format", "{{.Size}}\t{{.CreatedBy}}", image)
    for line in history.splitlines():
        size, _, made_by = line.partition("\t")
        if size != "0B":
            print(f"    {size:>8}  {made_by[:60] or 'the base image'}")


class Counted:
    """A file that only counts."""

    bytes = 0

    def write(self, data):
        self.bytes += len(data)
        return len(data)

    def flush(self):
        pass


def threads():
    """The names of all threads, and the split that the log tells."""
    names = docker("top", NAME, "-L", "-o", "pid,comm").splitlines()[1:]
    names = [line.split(None, 1)[1].strip() for line in names]
    log = subprocess.run(["docker", "logs", NAME], capture_output=True, text=True).stderr
    split = re.search(r"(\d+) CPUs: (\d+) decode, (\d+) infer, (\d+) serve HTTP", log)
    return names, [int(number) for number in split.groups()]


def model_names(host):
    return [model["name"] for model in json.loads(get(host, "/models")[1])["models"]]


def check_threads(host, cpus):
    names, (found, decode, infer, serve) = threads()
    models = model_names(host)
    expect(found == cpus, f"--cpus={cpus} of {os.cpu_count()} is seen as {found}")
    expect(sum(name.startswith("decode-") for name in names) == decode, f"{decode} decode")
    expect(names.count("http") >= serve, f"{serve} serve HTTP")
    # One keeper for each network, which sleeps; the kernel keeps 15 characters.
    keepers = [name for name in names for model in models if name == f"nin-{model}"[:15]]
    expect(len(keepers) == len(models), f"{len(models)} keep a network")
    # Helpers bear the name of the thread that they help. libtorch sizes a second pool along with the
    # first, for operators that no network here has: all but one of its threads are there, and sleep.
    inferring, most = names.count("inference"), 2 * infer - 1
    expect(1 <= inferring <= most, f"{inferring} threads infer, {most} at most")


def check_user():
    users = set(docker("top", NAME, "-o", "pid,uid,comm").split("\n")[1].split()[1:2])
    expect(users == {"10001"}, "runs as user 10001, not as root")
    state = inspect(NAME)
    expect(state["Config"]["User"] == "10001:10001", "the user is numeric, as Kubernetes asks")
    expect(state["HostConfig"]["ReadonlyRootfs"], "the root file system is read-only")


def check_answers(host):
    expect(Client(host).post(DIGIT)[0] == 200, "classifies a picture")
    expect(Client(host).post(b"no picture")[0].startswith("415"), "refuses what is none")


def check_memory(host):
    """All networks with full batches, among uploads of the largest size: more at once than the
    memory holds."""
    largest = ppm(2600, 2600)
    models = model_names(host)
    paths = [f"/classify?top_k=1&model={models[index % len(models)]}" for index in range(36)]
    clients = [Client(host, path) for path in paths]
    turns = [0] * len(clients)

    def upload(index):
        turns[index] += 1
        picture = largest if (turns[index] + index) % 3 == 0 else DIGIT
        return clients[index].post(picture)[0] if turns[index] <= 6 else None

    outcomes = tally(Load(len(clients), upload).wait(180))
    print(f"  {len(clients)} at once, each third {len(largest) / 1e6:.0f} MB: {dict(outcomes)}")
    allowed = {200, "503 overloaded"}
    expect(set(outcomes) <= allowed and outcomes[200], "answered, or refused for want of room")
    state = inspect(NAME)["State"]
    expect(state["Running"] and not state["OOMKilled"], "stays within 1 GiB")


def check_shutdown(host):
    """SIGTERM while 16 clients send: each request is answered, or finds the door closed."""
    clients = [Client(host) for _ in range(16)]
    refused = ("refused", "503 shutting-down")
    closed = set()

    def classify(index):
        if index in closed:
            return None
        outcome = clients[index].post(DIGIT)[0]
        if outcome in refused:
            closed.add(index)
        return outcome

    load = Load(len(clients), classify)
    time.sleep(4)
    told = time.monotonic()
    docker("kill", "--signal=TERM", NAME)
    docker("wait", NAME, timeout=60)
    took = time.monotonic() - told
    outcomes = load.wait(60)
    after = sum(ended > told and outcome == 200 for _, ended, outcome in outcomes)
    count = tally(outcomes)
    print(f"  SIGTERM under load: ended after {took:.2f} s; {after} answered after the signal")
    print(f"  {len(outcomes)} requests: {dict(count)}")
    expect(inspect(NAME)["State"]["ExitCode"] == 0, "ends with code 0")
    expect(after > 0, "requests were under way")
    expect(set(count) <= {200, *refused}, "nothing was lost")


def check(image):
    remove()
    try:
        sizes(image)
        host = start(image, cpus=1)
        check_user()
        check_answers(host)
        check_threads(host, cpus=1)
        check_memory(host)
        check_shutdown(host)
        remove()
        more = min(os.cpu_count(), 4)
        if more > 1:
            check_threads(start(image, cpus=more), cpus=more)
    finally:
        remove()
