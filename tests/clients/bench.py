"""What the same pictures cost over /classify, and over /v2 with binary data.

    python3 tests/clients/run.py bench [seconds]

Requests go one by one over one connection, both routes in turn, so that whatever else the machine
does hits both. Prints the ratio of the medians.
"""

import http.client
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from server import MODEL, Server, digit

ROUND = 20


def v2_body(picture: bytes) -> tuple[bytes, dict[str, str]]:
    data = len(picture).to_bytes(4, "little") + picture
    header = json.dumps(
        {
            "parameters": {"binary_data_output": True},
            "inputs": [
                {
                    "name": "image",
                    "datatype": "BYTES",
                    "shape": [1],
                    "parameters": {"binary_data_size": len(data)},
                }
            ],
        }
    ).encode()
    return header + data, {"Inference-Header-Content-Length": str(len(header))}


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10
    pictures = [digit(text, side) for text in "73" for side in (64, 160, 640)]
    routes = {
        "/classify": [(picture, {}) for picture in pictures],
        f"/v2/models/{MODEL}/infer": [v2_body(picture) for picture in pictures],
    }
    times = {route: [] for route in routes}
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        connection = http.client.HTTPConnection(server.http)
        end = time.monotonic() + seconds
        warm = False
        while time.monotonic() < end or not warm:
            for route, bodies in routes.items():
                started = time.perf_counter()
                for index in range(ROUND):
                    body, headers = bodies[index % len(bodies)]
                    connection.request("POST", route, body, headers)
                    answer = connection.getresponse()
                    content = answer.read()
                    assert answer.status == 200, content
                if warm:
                    times[route].append((time.perf_counter() - started) / ROUND)
            warm = True
        server.stop()
    medians = {route: statistics.median(rounds) * 1e3 for route, rounds in times.items()}
    for route, median in medians.items():
        print(f"{route:32} {median:7.3f} ms a picture, median of {len(times[route])} rounds")
    classify, v2 = medians.values()
    print(f"/v2 binary costs {v2 / classify:.3f} x /classify")


if __name__ == "__main__":
    main()
