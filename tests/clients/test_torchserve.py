"""TorchServe has no client library; its documentation calls it by curl, as here."""

import json
import subprocess

import numpy as np
import pytest

from server import MODEL


def curl(*arguments):
    """Status and JSON."""
    command = ["curl", "-sS", "-w", "\n%{http_code}", *map(str, arguments)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    body, status = output.rsplit("\n", 1)
    return int(status), json.loads(body)


@pytest.fixture
def picture(tmp_path, pictures):
    path = tmp_path / "digit.png"
    path.write_bytes(pictures[0])
    return path


def test_ping(server):
    assert curl(f"{server.url}/ping") == (200, {"status": "Healthy"})


def test_predictions(server, picture, expected):
    url = f"{server.url}/predictions/{MODEL}"
    best = sorted(range(10), key=lambda index: -expected[0][index])[:5]
    for arguments in [
        (url, "-T", picture),
        (url, "-F", f"data=@{picture}"),
        (f"{url}/1", "--data-binary", f"@{picture}"),
    ]:
        status, answer = curl(*arguments)
        assert status == 200, answer
        assert list(answer) == [str(index) for index in best]
        found = list(answer.values())
        np.testing.assert_allclose(found, [expected[0][index] for index in best], atol=1e-4)


def test_errors(server, picture, tmp_path):
    status, error = curl(f"{server.url}/predictions/missing", "-T", picture)
    assert (status, error["code"], error["type"]) == (404, 404, "ModelNotFoundException")
    text = tmp_path / "text"
    text.write_text("no picture")
    status, error = curl(f"{server.url}/predictions/{MODEL}", "-T", text)
    assert (status, error["type"]) == (415, "BadRequestException")
