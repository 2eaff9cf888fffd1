"""KServe's own client, for both of its protocols."""

import asyncio
import base64

import httpx
import numpy as np
import pytest
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

from server import MODEL

SAME = {"atol": 1e-4}


def run(protocol, call):
    async def within():
        async with InferenceRESTClient(RESTConfig(protocol=protocol)) as client:
            return await call(client)

    return asyncio.run(within())


def encoded(picture):
    return base64.b64encode(picture).decode()


def test_v1_predict(server, pictures, expected):
    a, b, c, d = map(encoded, pictures)
    body = {"instances": [{"b64": a}, {"image": {"b64": b}}, {"data": c}, {"image_bytes": {"b64": d}}]}
    answer = run("v1", lambda client: client.infer(server.url, body, model_name=MODEL))
    found = [prediction["probabilities"] for prediction in answer["predictions"]]
    np.testing.assert_allclose(found, expected, **SAME)
    labels = [prediction["label"] for prediction in answer["predictions"]]
    assert labels == [str(np.argmax(row)) for row in expected]


def test_v1_readiness(server):
    assert run("v1", lambda client: client.is_model_ready(server.url, MODEL)) is True
    with pytest.raises(httpx.HTTPStatusError):
        run("v1", lambda client: client.is_model_ready(server.url, "missing"))


@pytest.mark.parametrize(
    "model, instances, status, part",
    [
        ("missing", [], 404, '"missing"'),
        (MODEL, [], 400, "no instances"),
        (MODEL, [{"b64": "!!"}], 400, "instances[0]"),
        (MODEL, [{"b64": "AA=="}] * 10_000, 400, "at most 64"),
        (MODEL, [{"b64": encoded(b"no picture")}], 415, "picture 0"),
        (MODEL, [[0.5]], 400, "line 1"),
    ],
)
def test_v1_errors(server, model, instances, status, part):
    body = {"instances": instances}
    with pytest.raises(httpx.HTTPStatusError) as error:
        run("v1", lambda client: client.infer(server.url, body, model_name=model))
    assert error.value.response.status_code == status
    assert part in str(error.value)


@pytest.mark.parametrize("binary", [True, False])
def test_v2_infer(server, pictures, expected, binary):
    elements = pictures if binary else [encoded(picture).encode() for picture in pictures]
    tensor = InferInput("image", [len(pictures)], "BYTES")
    tensor.set_data_from_numpy(np.array(elements, dtype=np.object_), binary_data=binary)
    request = InferRequest(MODEL, [tensor])
    answer = run("v2", lambda client: client.infer(server.url, request, model_name=MODEL))
    output = next(output for output in answer.outputs if output.name == "probabilities")
    np.testing.assert_allclose(output.as_numpy(), expected, **SAME)


def test_v2_readiness(server):
    assert run("v2", lambda client: client.is_server_live(server.url)) is True
    assert run("v2", lambda client: client.is_server_ready(server.url)) is True
    assert run("v2", lambda client: client.is_model_ready(server.url, MODEL)) is True
    assert run("v2", lambda client: client.is_model_ready(server.url, "missing")) is False
