"""Runs the real binary under mixed traffic and checks that it holds. Standard library only.

    make soak                            # ten minutes
    make soak DURATION=60                # a short run

Good, bad, huge, cancelled and slow requests run side by side. Then these must hold:
no 5xx but intended 503 and 504; no error in the log; every good answer as `nin-serve classify`
gives it; gauges at zero; resident memory within a tenth of its level after the first minute;
SIGTERM under load loses no accepted request and ends with exit code 0.
"""

import argparse
import sys
import threading
import time
from pathlib import Path

import ending
import traffic
from pictures import Pictures
from server import Server
from tally import Tally

ROOT = Path(__file__).resolve().parent.parent.parent
GROWTH = 0.10
# Clients with huge requests that come at the start and leave.
RUSH = 8


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--duration", type=float, default=600, help="seconds of traffic")
    arguments.add_argument("--binary", type=Path, default=ROOT / "target/release/nin-serve")
    arguments.add_argument("--models", type=Path, default=ROOT / "models")
    arguments = arguments.parse_args()

    pictures = Pictures(arguments.binary, arguments.models, ROOT / "tests/fixtures/pictures")
    server = Server(arguments.binary, arguments.models)
    try:
        tally = Tally()
        memory = run(server, pictures, tally, arguments.duration)
        checks = [
            ("statuses as intended", tally.surprises()),
            ("good answers right", tally.wrong_answers()),
            ("every client at work", tally.idle(traffic.CLIENTS)),
            ("gauges at zero", server.gauges_left()),
            ("memory level", memory.growth(GROWTH)),
            ("nothing lost at SIGTERM", ending.terminate_under_load(server, pictures)),
            ("no error in the log", server.errors()),
        ]
    finally:
        server.kill()
    tally.report(arguments.duration)
    memory.report()
    failed = [(name, problem) for name, problem in checks if problem]
    for name, problem in checks:
        print(f"{'FAILED' if problem else 'ok':<8}{name}{': ' + problem if problem else ''}")
    return 1 if failed else 0


def run(server: Server, pictures: Pictures, tally: Tally, duration: float) -> "Memory":
    stop = threading.Event()
    def start(client, until: threading.Event) -> threading.Thread:
        def run_client() -> None:
            try:
                client(server.address, pictures, tally, until)
            except Exception as error:
                tally.surprise(f"{client.__name__}: {error!r}")

        thread = threading.Thread(target=run_client)
        thread.start()
        return thread

    memory = Memory(min(60, duration / 3))
    # The allocator keeps some of the most that was ever needed at once. That comes early, so that
    # what is added later is growth.
    rush = threading.Event()
    clients = [start(traffic.huge, rush) for _ in range(RUSH)]
    clients += [start(kind, stop) for kind, count in traffic.CLIENTS.items() for _ in range(count)]
    while memory.elapsed() < duration and server.running():
        memory.sample(server.resident_bytes())
        if memory.elapsed() > memory.warm_up / 3:
            rush.set()
        time.sleep(0.5)
    stop.set()
    for client in clients:
        client.join(traffic.PATIENCE)
    return memory


class Memory:
    """Resident bytes over time."""

    def __init__(self, warm_up: float):
        self.start = time.monotonic()
        self.warm_up = warm_up
        self.samples: list[tuple[float, int]] = []

    def elapsed(self) -> float:
        return time.monotonic() - self.start

    def sample(self, resident: int) -> None:
        self.samples.append((self.elapsed(), resident))

    def level(self, begin: float, end: float) -> float:
        """Median of the samples in between, MiB."""
        inside = sorted(value for at, value in self.samples if begin <= at <= end)
        return inside[len(inside) // 2] / 2**20 if inside else 0.0

    def levels(self) -> tuple[float, float, float]:
        """After the warm-up, in the end, at most; MiB."""
        window = self.warm_up / 2
        last = self.samples[-1][0]
        first = self.level(self.warm_up - window, self.warm_up)
        peak = max(value for _, value in self.samples) / 2**20
        return first, self.level(last - window, last), peak

    def growth(self, allowed: float) -> str:
        first, last, _ = self.levels()
        if last <= first * (1 + allowed):
            return ""
        return f"{first:.0f} MiB after {self.warm_up:.0f} s became {last:.0f} MiB"

    def report(self) -> None:
        first, last, peak = self.levels()
        print(
            f"resident memory: {first:.0f} MiB after {self.warm_up:.0f} s, {last:.0f} MiB in the "
            f"end ({100 * (last / first - 1):+.1f} %), {peak:.0f} MiB at most"
        )
        steps = [self.tenth(number) for number in range(10)]
        levels = [self.level(begin, end) for begin, end in steps]
        print("  by tenths of the time: " + ", ".join(f"{level:.0f}" for level in levels))

    def tenth(self, number: int) -> tuple[float, float]:
        last = self.samples[-1][0]
        return last * number / 10, last * (number + 1) / 10


if __name__ == "__main__":
    sys.exit(main())
