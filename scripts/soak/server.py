"""The process under test."""

import collections
import http.client
import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

from pictures import MODEL

# Of a busy machine.
PATIENCE = 60
GAUGES = ("nin_queue_depth", "nin_inflight_bytes", "nin_decode_queue_depth")


class Server:
    def __init__(self, binary: Path, models: Path):
        settings = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("NIN_", "OTEL_"))
        }
        # Timeouts that a short run meets, too.
        self.process = subprocess.Popen(
            [binary, "--listen", "127.0.0.1:0", "--models", models, "--log-format", "json"]
            + ["--default-model", MODEL]
            + ["--body-timeout", "3s", "--header-timeout", "3s", "--drain-timeout", "30s"],
            stderr=subprocess.PIPE,
            text=True,
            env=settings,
        )
        self.levels: collections.Counter = collections.Counter()
        self.first_errors: list[str] = []
        self.address = self._address()
        self.log = threading.Thread(target=self._read_log, daemon=True)
        self.log.start()

    def _address(self) -> tuple[str, int]:
        for line in self.process.stderr:
            entry = json.loads(line)
            if entry.get("message") == "ready":
                host, port = entry["address"].rsplit(":", 1)
                return host, int(port)
            self._note(entry, line)
        raise SystemExit("the server did not start:\n" + "".join(self.first_errors))

    def _read_log(self) -> None:
        for line in self.process.stderr:
            try:
                self._note(json.loads(line), line)
            except ValueError:
                # What does not come from the log is a cry for help.
                self.first_errors.append(line)

    def _note(self, entry: dict, line: str) -> None:
        level = entry.get("level", "none")
        self.levels[level] += 1
        if level == "ERROR" and len(self.first_errors) < 5:
            self.first_errors.append(line)

    def errors(self) -> str:
        self.log.join(PATIENCE)
        return " ".join(self.first_errors)

    def running(self) -> bool:
        return self.process.poll() is None

    def resident_bytes(self) -> int:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0

    def get(self, path: str) -> str:
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE)
        connection.request("GET", path)
        text = connection.getresponse().read().decode()
        connection.close()
        return text

    def gauges_left(self) -> str:
        """The gauges that do not return to zero."""
        if not self.running():
            return f"the process has ended: {self.process.returncode}"
        end = time.monotonic() + 20
        while True:
            lines = [line for line in self.get("/metrics").splitlines() if line.startswith(GAUGES)]
            left = [line for line in lines if float(line.rsplit(" ", 1)[1]) != 0]
            if len(lines) < len(GAUGES):
                return f"too few gauges: {lines}"
            if not left or time.monotonic() > end:
                return ", ".join(left)
            time.sleep(0.1)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def exit_code(self) -> int | None:
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        if self.running():
            self.process.kill()
