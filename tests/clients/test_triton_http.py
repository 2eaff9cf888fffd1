"""Triton's own HTTP client."""

import base64

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from server import ADMIN, MODEL

SAME = {"atol": 1e-4}


@pytest.fixture(scope="module")
def client(server):
    client = triton.InferenceServerClient(server.http, concurrency=16)
    yield client
    client.close()


def images(pictures, binary=True):
    """The input of encoded pictures: as they are, or as base64 in JSON."""
    elements = pictures if binary else [base64.b64encode(p) for p in pictures]
    tensor = triton.InferInput("image", [len(pictures)], "BYTES")
    tensor.set_data_from_numpy(np.array(elements, dtype=np.object_), binary_data=binary)
    return tensor


def pixels(array, datatype):
    tensor = triton.InferInput("pixels", list(array.shape), datatype)
    tensor.set_data_from_numpy(array)
    return tensor


def fails(status, part, call, *arguments, **named):
    with pytest.raises(InferenceServerException) as error:
        call(*arguments, **named)
    assert error.value.status() == str(status), error.value
    assert part in error.value.message()


def test_health_and_metadata(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL)
    assert client.is_model_ready(MODEL, "1")
    assert not client.is_model_ready("missing")
    server = client.get_server_metadata()
    assert server["name"] == "nin-serve"
    assert "binary_tensor_data" in server["extensions"]
    model = client.get_model_metadata(MODEL)
    assert model["versions"] == ["1"]
    assert {"name": "pixels", "datatype": "FP32", "shape": [-1, 1, 28, 28]} in model["inputs"]
    assert {"name": "labels", "datatype": "BYTES", "shape": [-1, 10]} in model["outputs"]


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_pictures(client, pictures, expected, binary_in, binary_out):
    outputs = [
        triton.InferRequestedOutput(name, binary_data=binary_out)
        for name in ("probabilities", "labels", "logits")
    ]
    result = client.infer(MODEL, [images(pictures, binary_in)], outputs=outputs, request_id="a1")
    assert result.get_response()["id"] == "a1"
    probabilities = result.as_numpy("probabilities")
    assert probabilities.dtype == np.float32 and probabilities.shape == (4, 10)
    np.testing.assert_allclose(probabilities, expected, **SAME)
    labels = result.as_numpy("labels")
    assert labels.shape == (4, 10)
    best = [label.decode() if isinstance(label, bytes) else label for label in labels[:, 0]]
    assert best == [str(np.argmax(row)) for row in expected]
    # The network averages distributions, so its logits are their logarithm.
    np.testing.assert_allclose(np.exp(result.as_numpy("logits")), expected, **SAME)


def test_outputs_that_are_not_asked_for(client, pictures, expected):
    result = client.infer(MODEL, [images(pictures)], parameters={"top_k": 1})
    np.testing.assert_allclose(result.as_numpy("probabilities"), expected, **SAME)
    assert result.as_numpy("labels").shape == (4, 1)
    assert result.as_numpy("logits") is None


def test_pixels_in_both_datatypes(client):
    stroke = np.zeros((2, 28, 28, 1), dtype=np.uint8)
    stroke[:, 4:24, 13:16] = 255
    as_bytes = client.infer(MODEL, [pixels(stroke, "UINT8")])
    info = httpx.get(f"http://{client._client_stub.host}:{client._client_stub.port}/models/{MODEL}")
    spec = info.json()["input"]
    floats = (stroke.astype(np.float32) * spec["scale"] - spec["mean"][0]) / spec["std"][0]
    floats = np.ascontiguousarray(floats.transpose(0, 3, 1, 2), dtype=np.float32)
    as_floats = client.infer(MODEL, [pixels(floats, "FP32")])
    assert as_bytes.as_numpy("labels")[0][0] == b"1"
    np.testing.assert_allclose(
        as_floats.as_numpy("probabilities"), as_bytes.as_numpy("probabilities"), **SAME
    )


def test_classification(client, pictures, expected):
    outputs = [triton.InferRequestedOutput("probabilities", class_count=3)]
    classes = client.infer(MODEL, [images(pictures)], outputs=outputs).as_numpy("probabilities")
    assert classes.shape == (4, 3)
    for row, probabilities in zip(classes, expected):
        value, index, label = row[0].decode().split(":")
        assert (int(index), label) == (int(np.argmax(probabilities)), str(np.argmax(probabilities)))
        assert abs(float(value) - max(probabilities)) < 1e-4


def test_many_in_flight(client, pictures, expected):
    calls = [client.async_infer(MODEL, [images([pictures[i % 4]])]) for i in range(200)]
    for index, call in enumerate(calls):
        probabilities = call.get_result().as_numpy("probabilities")
        np.testing.assert_allclose(probabilities[0], expected[index % 4], **SAME)


def test_statistics(client, pictures):
    before = client.get_inference_statistics(MODEL)["model_stats"][0]
    client.infer(MODEL, [images(pictures)])
    after = client.get_inference_statistics(MODEL)["model_stats"][0]
    assert after["inference_count"] - before["inference_count"] == 4
    assert after["inference_stats"]["success"]["ns"] > before["inference_stats"]["success"]["ns"]


def test_errors(client, pictures):
    one = pictures[:1]
    fails(404, '"missing"', client.infer, "missing", [images(one)])
    fails(404, '"7"', client.infer, MODEL, [images(one)], model_version="7")
    fails(404, '"missing"', client.get_model_metadata, "missing")
    wrong = np.zeros((1, 28, 28, 1), dtype=np.float32)
    fails(400, "expected [N, 1, 28, 28]", client.infer, MODEL, [pixels(wrong, "FP32")])
    wrong = np.zeros((1, 1, 28, 28), dtype=np.float64)
    fails(400, "FP32 or UINT8", client.infer, MODEL, [pixels(wrong, "FP64")])
    fails(400, "10000 pictures", client.infer, MODEL, [images([b"x"] * 10_000)])
    text = triton.InferInput("image", [1], "BYTES")
    text.set_data_from_numpy(np.array([b"!!"], dtype=np.object_), binary_data=False)
    fails(400, "base64", client.infer, MODEL, [text])
    fails(415, "picture 1", client.infer, MODEL, [images([pictures[0], b"no picture"])])
    fails(422, "picture 0", client.infer, MODEL, [images([pictures[0][:100]])])
    scores = [triton.InferRequestedOutput("scores")]
    fails(400, '"scores"', client.infer, MODEL, [images(one)], outputs=scores)
    both = [images(one), pixels(np.zeros((1, 1, 28, 28), dtype=np.float32), "FP32")]
    fails(400, "has 2", client.infer, MODEL, both)


def test_torn_requests(server, pictures):
    """What the client would never send: its own request, cut and mislabelled."""
    body, length = triton.InferenceServerClient.generate_request_body([images(pictures)])
    name = "Inference-Header-Content-Length"

    def post(body, length):
        url = f"{server.url}/v2/models/{MODEL}/infer"
        return httpx.post(url, content=body, headers={name: str(length)})

    assert post(body, length).status_code == 200
    for body, length, part in [
        (body, len(body) + 1, name),
        (body, -1, name),
        (body, "ten", name),
        (body, length - 1, "JSON"),
        (body[:-10], length, "the inputs announce"),
        (body + b"more", length, "the inputs announce"),
        (body[: length + 2], length, "the inputs announce"),
    ]:
        answer = post(body, length)
        assert answer.status_code == 400, answer.text
        assert part in answer.json()["error"]


def test_repository(client):
    def states():
        return {m["name"]: m["state"] for m in client.get_model_repository_index()}

    assert states() == {MODEL: "READY", "second": "READY"}
    fails(401, "admin key", client.load_model, "second")
    client.unload_model("second", headers=ADMIN)
    assert states()["second"] == "UNAVAILABLE"
    assert not client.is_model_ready("second")
    client.load_model("second", headers=ADMIN)
    assert client.is_model_ready("second")
    fails(404, '"missing"', client.load_model, "missing", headers=ADMIN)


def test_broken_weights_keep_the_old_ones(server, client, pictures, expected):
    weights = server.models / "second" / "weights.safetensors"
    right = weights.read_bytes()
    weights.write_bytes(right[:-1])
    fails(422, "SHA-256", client.load_model, "second", headers=ADMIN)
    result = client.infer("second", [images(pictures)])
    np.testing.assert_allclose(result.as_numpy("probabilities"), expected, **SAME)
    weights.write_bytes(right)
    client.load_model("second", headers=ADMIN)
