#!/usr/bin/env python3
"""What connections cost: memory and processor time of the service with 1 to 2,000 of them.

    make build && scripts/connections.py

Starts the service, opens connections and lets them idle, then has all of them ask at once, each
again as soon as it has its answer. Prints a Markdown table. Standard library only; the load client
shares the machine with the service, so that answers a second are not what the service can do.
"""

import asyncio
import collections
import os
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COUNTS = (1, 10, 100, 500, 1000, 2000)
IDLE_SECONDS = 3
REQUESTS = 4000
TICKS = os.sysconf("SC_CLK_TCK")
PICTURE = (ROOT / "models/nin-mnist/digit.png").read_bytes()
ASK = (
    b"POST /classify?model=nin-mnist HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
    b"Content-Length: %d\r\n\r\n" % len(PICTURE)
) + PICTURE
PROBE = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Server:
    def __init__(self):
        self.process = subprocess.Popen(
            [ROOT / "target/release/nin-serve", "serve", "--listen", "127.0.0.1:0"]
            + ["--models", ROOT / "models", "--max-connections", "4000"]
            + ["--idle-timeout", "10m"],
            stderr=subprocess.PIPE,
            text=True,
        )
        for line in self.process.stderr:
            if "address=" in line:
                self.port = int(line.split("address=")[1].split()[0].strip('"').rsplit(":", 1)[1])
                break
        else:
            raise SystemExit("the server did not start")

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident_mib(self) -> float:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0


async def drain_log(server: Server) -> None:
    """The pipe must not fill up."""
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, server.process.stderr.readline):
        pass


async def answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            await reader.readexactly(int(line.split(b":")[1]))
    return status


async def connect(port: int):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(PROBE)
    assert await answer(reader) == 200
    return reader, writer


async def client(connection, left: list, times: list, statuses: collections.Counter) -> None:
    reader, writer = connection
    while left[0] > 0:
        left[0] -= 1
        begun = time.perf_counter()
        writer.write(ASK)
        await writer.drain()
        status = await answer(reader)
        statuses[status] += 1
        if status == 200:
            times.append(time.perf_counter() - begun)


async def measure(server: Server, count: int) -> str:
    connections = []
    for _ in range(count):
        connections.append(await connect(server.port))
    before = server.cpu_seconds()
    await asyncio.sleep(IDLE_SECONDS)
    idle_cpu = (server.cpu_seconds() - before) / IDLE_SECONDS
    idle_memory = server.resident_mib()
    left, times, statuses = [max(REQUESTS, 2 * count)], [], collections.Counter()
    before, begun = server.cpu_seconds(), time.perf_counter()
    await asyncio.gather(*(client(one, left, times, statuses) for one in connections))
    seconds = time.perf_counter() - begun
    cpu = server.cpu_seconds() - before
    for _, writer in connections:
        writer.close()
    times.sort()
    at = lambda share: 1e3 * times[min(len(times) - 1, int(share * len(times)))]
    answers = ", ".join(f"{status}: {number}" for status, number in sorted(statuses.items()))
    return (
        f"| {count} | {idle_memory:.0f} MiB | {1e3 * idle_cpu:.1f} ms | {answers} "
        f"| {statuses[200] / seconds:.0f} | {1e3 * cpu / statuses.total():.2f} ms "
        f"| {at(0.5):.0f} ms | {at(0.99):.0f} ms | {server.resident_mib():.0f} MiB |"
    )


async def main() -> None:
    server = Server()
    try:
        log = asyncio.ensure_future(drain_log(server))
        print("| connections | idle: resident | idle: CPU a second | busy: answers | 200 a second "
              "| CPU an answer | p50 | p99 | resident |")
        print("| --- " * 9 + "|")
        for count in COUNTS:
            print(await measure(server, count), flush=True)
    finally:
        server.process.terminate()
        server.process.wait(60)
    await log


if __name__ == "__main__":
    asyncio.run(main())
