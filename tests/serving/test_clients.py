"""Clients that others wrote, and the payloads that they send, against a running server."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from prometheus_client.parser import text_string_to_metric_families


@pytest.fixture(scope="module")
def server(copied: Any, kit: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    running = kit.server(copied(tmp_path_factory.mktemp("clients") / "project"))
    kit.until(lambda: running.ask("/health/ready").status == 200)
    yield running
    running.clear()


HOMES = (0, 5)


def arrays(kit: Any) -> dict[str, Any]:
    """The inputs of two homes."""
    return {
        "area": np.array([kit.area_of(home) for home in HOMES]),
        "kind": np.array([b"flat", b"house"], dtype=np.object_),
        "asking": np.array([100.0, 100.0]),
        "rooms": np.array([3, 3], dtype=np.int64),
    }


DATATYPES = {"area": "FP64", "kind": "BYTES", "asking": "FP64", "rooms": "INT64"}


def values(kit: Any) -> list[float]:
    return [kit.value_of(home) for home in HOMES]


@pytest.fixture(scope="module")
def triton(server: Any) -> Iterator[Any]:
    from tritonclient.http import InferenceServerClient

    with InferenceServerClient(server.netloc) as client:
        yield client


def test_tritons_client_asks_for_health_and_what_a_model_takes(triton: Any) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("valuation")
    assert triton.is_model_ready("valuation", "1")
    assert not triton.is_model_ready("other")
    assert "binary_tensor_data" in triton.get_server_metadata()["extensions"]
    taken = triton.get_model_metadata("valuation")["inputs"]
    assert {item["name"]: item["datatype"] for item in taken} == DATATYPES


@pytest.mark.parametrize("binary_in", [True, False], ids=["bytes in", "json in"])
@pytest.mark.parametrize("binary_out", [True, False], ids=["bytes out", "json out"])
def test_tritons_client_sends_and_gets_tensors(triton: Any, kit: Any, *, binary_in: bool, binary_out: bool) -> None:
    from tritonclient.http import InferInput, InferRequestedOutput

    inputs = []
    for name, array in arrays(kit).items():
        inputs.append(InferInput(name, list(array.shape), DATATYPES[name]))
        inputs[-1].set_data_from_numpy(array, binary_data=binary_in)
    answer = triton.infer(
        "valuation", inputs, request_id="7", outputs=[InferRequestedOutput("price", binary_data=binary_out)]
    )
    assert answer.get_response()["id"] == "7"
    assert answer.as_numpy("price").tolist() == values(kit)


def test_tritons_client_may_pack_what_it_sends_and_need_not_name_outputs(triton: Any, kit: Any) -> None:
    from tritonclient.http import InferInput

    inputs = []
    for name, array in arrays(kit).items():
        inputs.append(InferInput(name, [len(array), 1], DATATYPES[name]))
        inputs[-1].set_data_from_numpy(array.reshape(-1, 1))
    for packing in ("gzip", "deflate"):
        answer = triton.infer("valuation", inputs, request_compression_algorithm=packing)
        assert answer.as_numpy("price").tolist() == values(kit)


def test_tritons_client_reads_our_errors(triton: Any) -> None:
    from tritonclient.http import InferInput
    from tritonclient.utils import InferenceServerException

    area = InferInput("area", [1], "FP32")
    area.set_data_from_numpy(np.array([1.0], dtype=np.float32))
    with pytest.raises(InferenceServerException, match="missing inputs: kind, asking, rooms"):
        triton.infer("valuation", [area])


def test_the_open_inference_working_groups_client_is_answered(server: Any, kit: Any) -> None:
    from open_inference.openapi import InferenceRequest, RequestInput, TensorData
    from open_inference.openapi.client import OpenInferenceClient
    from open_inference.openapi.core.api_error import ApiError

    client = OpenInferenceClient(base_url=server.url())
    client.check_server_liveness()
    client.check_server_readiness()
    client.check_model_version_readiness("valuation", "1")
    assert client.read_server_metadata().name == "stackwright"
    assert [item.name for item in client.read_model_metadata("valuation").inputs] == list(DATATYPES)
    inputs = [
        RequestInput(
            name=name,
            shape=list(array.shape),
            datatype=DATATYPES[name],
            data=TensorData(__root__=[item.decode() if isinstance(item, bytes) else item for item in array.tolist()]),
        )
        for name, array in arrays(kit).items()
    ]
    answer = client.model_infer("valuation", request=InferenceRequest(id="9", inputs=inputs))
    assert (answer.id, answer.outputs[0].data.__root__) == ("9", values(kit))
    with pytest.raises(ApiError) as refused:
        client.read_model_metadata("other")
    assert refused.value.status_code == 404


def frame(kit: Any) -> Any:
    import pandas as pd

    given = arrays(kit)
    return pd.DataFrame({**given, "kind": [item.decode() for item in given["kind"]]})


def test_mlflows_four_forms_of_json_are_taken(server: Any, kit: Any) -> None:
    rows = frame(kit)
    records = rows.to_dict(orient="records")
    for body in (
        {"dataframe_split": rows.to_dict(orient="split")},
        {"dataframe_records": records},
        {"instances": records},
        {"inputs": rows.to_dict(orient="list")},
    ):
        assert server.ask("/invocations", body).json["predictions"] == values(kit), body


def csv(table: Any) -> bytes:
    return bytes(table.to_csv(index=False).encode())


def parquet(table: Any) -> bytes:
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pa.Table.from_pandas(table, preserve_index=False), sink)
    return sink.getvalue()


def arrow(table: Any) -> bytes:
    sink, made = io.BytesIO(), pa.Table.from_pandas(table, preserve_index=False)
    with pa.ipc.new_stream(sink, made.schema) as stream:
        stream.write_table(made)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("write", "kind"),
    [(csv, "text/csv"), (parquet, "application/vnd.apache.parquet"), (arrow, "application/vnd.apache.arrow.stream")],
)
def test_tables_are_taken_in_the_forms_that_mlflow_and_sagemaker_send(
    server: Any, kit: Any, write: Callable[[Any], bytes], kind: str
) -> None:
    assert server.ask("/invocations", write(frame(kit)), Content_Type=kind).json["predictions"] == values(kit)


def test_prometheus_reads_our_metrics(server: Any) -> None:
    server.predict()
    reply = server.ask("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(reply.body.decode())}
    for name in ("requests", "request_seconds", "predictions", "store_read_seconds", "worker_resident_bytes"):
        assert f"stackwright_{name}" in families, sorted(families)
    assert families["stackwright_request_seconds"].type == "histogram"
    (memory,) = families["stackwright_worker_resident_bytes"].samples
    assert memory.value > 10_000_000
