"""Triton's own gRPC client."""

import queue

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from server import ADMIN, MODEL, digit

SAME = {"atol": 1e-4}


@pytest.fixture(scope="module")
def client(server):
    client = triton.InferenceServerClient(server.grpc)
    yield client
    client.close()


def images(pictures):
    tensor = triton.InferInput("image", [len(pictures)], "BYTES")
    tensor.set_data_from_numpy(np.array(pictures, dtype=np.object_))
    return tensor


def pixels(array, datatype):
    tensor = triton.InferInput("pixels", list(array.shape), datatype)
    tensor.set_data_from_numpy(array)
    return tensor


def fails(code, part, call, *arguments, **named):
    with pytest.raises(InferenceServerException) as error:
        call(*arguments, **named)
    assert error.value.status() == f"StatusCode.{code}", error.value
    assert part in error.value.message()


def test_health_and_metadata(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL)
    assert client.get_server_metadata().name == "nin-serve"
    model = client.get_model_metadata(MODEL)
    assert list(model.versions) == ["1"]
    shapes = {tensor.name: (tensor.datatype, list(tensor.shape)) for tensor in model.inputs}
    assert shapes == {"image": ("BYTES", [-1]), "pixels": ("FP32", [-1, 1, 28, 28])}


def test_pictures(client, pictures, expected):
    outputs = [triton.InferRequestedOutput(n) for n in ("probabilities", "labels", "logits")]
    result = client.infer(MODEL, [images(pictures)], outputs=outputs, request_id="a1")
    assert result.get_response().id == "a1"
    np.testing.assert_allclose(result.as_numpy("probabilities"), expected, **SAME)
    best = [label.decode() for label in result.as_numpy("labels")[:, 0]]
    assert best == [str(np.argmax(row)) for row in expected]
    np.testing.assert_allclose(np.exp(result.as_numpy("logits")), expected, **SAME)


def test_pixels_and_classification(client):
    stroke = np.zeros((1, 28, 28, 1), dtype=np.uint8)
    stroke[:, 4:24, 13:16] = 255
    outputs = [triton.InferRequestedOutput("probabilities", class_count=1)]
    result = client.infer(MODEL, [pixels(stroke, "UINT8")], outputs=outputs)
    assert result.as_numpy("probabilities")[0][0].decode().endswith(":1:1")
    floats = np.zeros((2, 1, 28, 28), dtype=np.float32)
    result = client.infer(MODEL, [pixels(floats, "FP32")], parameters={"top_k": 2})
    assert result.as_numpy("labels").shape == (2, 2)


def test_many_in_flight(client, pictures, expected):
    answers = queue.Queue()
    for index in range(200):
        client.async_infer(
            MODEL,
            [images([pictures[index % 4]])],
            callback=lambda result, error, index=index: answers.put((index, result, error)),
        )
    for _ in range(200):
        index, result, error = answers.get(timeout=60)
        assert error is None
        np.testing.assert_allclose(
            result.as_numpy("probabilities")[0], expected[index % 4], **SAME
        )


def test_errors(client, pictures):
    one = [images(pictures[:1])]
    fails("NOT_FOUND", '"missing"', client.infer, "missing", one)
    fails("NOT_FOUND", '"7"', client.infer, MODEL, one, model_version="7")
    fails("NOT_FOUND", '"missing"', client.get_model_metadata, "missing")
    wrong = np.zeros((1, 28, 28, 1), dtype=np.float32)
    fails("INVALID_ARGUMENT", "[N, 1, 28, 28]", client.infer, MODEL, [pixels(wrong, "FP32")])
    wrong = np.zeros((1, 1, 28, 28), dtype=np.float64)
    fails("INVALID_ARGUMENT", "FP32 or UINT8", client.infer, MODEL, [pixels(wrong, "FP64")])
    fails("INVALID_ARGUMENT", "10000 pictures", client.infer, MODEL, [images([b"x"] * 10_000)])
    fails("INVALID_ARGUMENT", "picture 0", client.infer, MODEL, [images([b"no picture"])])
    torn = images(pictures[:1])
    torn._raw_content = torn._raw_content[:-3]
    fails("INVALID_ARGUMENT", "bytes by its prefix", client.infer, MODEL, [torn])
    fails("UNIMPLEMENTED", "", client.get_model_config, MODEL)
    fails(
        "UNIMPLEMENTED", "", client.infer, MODEL, one, compression_algorithm="gzip"
    )
    # Decoding these takes a hundred times as long as the client waits.
    slow = [images([digit("8", side=3000)] * 8)]
    fails("DEADLINE_EXCEEDED", "", client.infer, MODEL, slow, client_timeout=0.002)


def test_repository_and_statistics(client, pictures):
    index = client.get_model_repository_index()
    assert {m.name: m.state for m in index.models} == {MODEL: "READY", "second": "READY"}
    fails("UNAUTHENTICATED", "admin key", client.unload_model, "second")
    admin = {name.lower(): value for name, value in ADMIN.items()}
    client.unload_model("second", headers=admin)
    fails("NOT_FOUND", '"second"', client.infer, "second", [images(pictures)])
    client.load_model("second", headers=admin)
    client.infer("second", [images(pictures)])
    stats = client.get_inference_statistics("second").model_stats[0]
    assert stats.inference_count == 4
    assert stats.inference_stats.success.ns > 0
