import httpx
import pytest

from server import MODEL, Server, digit


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="session")
def pictures() -> list[bytes]:
    return [digit(text) for text in "7310"]


@pytest.fixture(scope="session")
def expected(server, pictures) -> list[list[float]]:
    """What /classify says of the pictures, in the order of the classes."""
    answers = []
    for picture in pictures:
        answer = httpx.post(f"{server.url}/classify?model={MODEL}", content=picture)
        assert answer.status_code == 200, answer.text
        predictions = sorted(answer.json()["predictions"], key=lambda p: p["index"])
        answers.append([prediction["probability"] for prediction in predictions])
    return answers
