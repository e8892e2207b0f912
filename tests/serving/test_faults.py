"""The faults that a model server must survive, each against a running ``stackwright serve``."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from servers import RedisServer

import stackwright
from stackwright.workflows import journal
from stackwright_interfaces.errors import AliasConflict
from stackwright_interfaces.feature_store import OnlineRow
from stackwright_interfaces.model import ModelRef
from stackwright_interfaces.registry import Event
from stackwright_interfaces.types import STRING
from stackwright_numerics.columns import Column
from stackwright_numerics.keys import encode_keys

Start = Callable[..., Any]

MODEL = """
tokens = [{ env = "PREDICT_TOKEN" }, { env = "OLD_TOKEN" }]
admin_tokens = [{ env = "ADMIN_TOKEN" }]
max_body = 20_000
max_rows = 100
max_depth = 16
concurrency = 8
timeout = 20.0
access_log = true
"""
SLOTS = 8


@pytest.fixture(scope="module")
def server(copied: Any, kit: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server that is asked by most tests; each leaves it as it was."""
    project = copied(tmp_path_factory.mktemp("faults") / "project", server="receive = 1.5", serving=MODEL)
    running = kit.server(project, kit.token)
    kit.until(lambda: running.ask("/health/ready").status == 200)
    yield running
    running.clear()


@pytest.fixture
def champion(server: Any) -> Iterator[Any]:
    """The server's project, whose champion is version 1 again after the test."""
    yield server.project
    server.project.mood()
    server.project.promote(1)
    server.until_served(1)


def infer(rows: int = 1, **changes: Any) -> dict[str, Any]:
    tensors = [
        {"name": "area", "shape": [rows], "datatype": "FP64", "data": [50.0] * rows},
        {"name": "kind", "shape": [rows], "datatype": "BYTES", "data": ["flat"] * rows},
        {"name": "asking", "shape": [rows], "datatype": "FP64", "data": [1.0] * rows},
        {"name": "rooms", "shape": [rows], "datatype": "INT64", "data": [3] * rows},
    ]
    return {"inputs": [{**tensor, **changes.get(str(tensor["name"]), {})} for tensor in tensors]}


INFER = "/v2/models/valuation/infer"


def resident(server: Any) -> int:
    """Return the bytes of memory that the workers hold."""
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 for pid in server.workers)


# What is no JSON, or more than a server should read


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b'{"home_id": "H1"', "not JSON"),
        (b'{"home_id": "H1", "home_id": "H2"}', "'home_id' stands twice"),
        (b'{"home_id": "H\xff"}', "not UTF-8 at byte 14"),
        (b'{"home_id": "\\ud800"}', "surrogate"),
    ],
)
def test_invalid_json_double_keys_and_bad_utf8_are_400(server: Any, body: bytes, part: str) -> None:
    reply = server.ask("/predict", body)
    assert (reply.status, part in reply.error) == (400, True), reply


def test_a_depth_bomb_and_an_endless_number_are_400_in_bounded_memory(server: Any) -> None:
    server.predict()
    before = resident(server)
    for body in (b"[" * 10_000 + b"]" * 9_000, b'{"rooms": ' + b"9" * 19_000 + b"}", b'{"a":' * 3_000):
        assert server.ask("/predict", body).status == 400
    assert resident(server) - before < 30_000_000
    assert server.predict().status == 200


def test_an_oversized_body_is_413_while_it_streams(server: Any, kit: Any) -> None:
    assert server.ask("/predict", b" " * 20_001).status == 413
    with server.open() as sock:
        sock.sendall(
            f"POST /predict HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {kit.token}\r\n"
            "transfer-encoding: chunked\r\n\r\n".encode()
        )
        for _ in range(5):
            sock.sendall(b"1388\r\n" + b" " * 5_000 + b"\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_gzip_bomb_is_413_before_it_is_unpacked(server: Any, kit: Any) -> None:
    before = resident(server)
    bomb = gzip.compress(b" " * 15_000_000)
    assert len(bomb) < 20_000
    assert server.ask("/predict", bomb, Content_Encoding="gzip").status == 413
    assert resident(server) - before < 10_000_000
    packed = gzip.compress(json.dumps({"home_id": "H1"}).encode())
    reply = server.ask("/predict", packed, Content_Encoding="gzip")
    assert reply.json["predictions"][0]["value"] == kit.value_of(1)
    assert server.ask("/predict", packed[:-4], Content_Encoding="gzip").status == 400


def test_a_body_without_content_type_is_json_and_an_unknown_type_415(server: Any) -> None:
    for path in ("/predict", "/invocations"):
        assert server.ask(path, {"home_id": "H1"}).status == 200
        assert server.ask(path, b"<home/>", Content_Type="application/xml").status == 415
        assert server.ask(path, b"{}", Content_Encoding="br").status == 415


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_none_is_400(server: Any, literal: str) -> None:
    assert server.ask("/predict", b'{"home_id": "H1", "rooms": %s}' % literal.encode()).status == 400
    assert server.ask("/invocations", b'{"inputs": {"area": [%s]}}' % literal.encode()).status == 400


# What is JSON, and does not fit the model


def test_null_is_what_the_policy_for_missing_values_says(server: Any, champion: Any, kit: Any) -> None:
    document = infer(area={"data": [None]})
    assert server.ask(INFER, document).json["outputs"][0]["data"] == [30.0]
    assert server.ask("/predict", {"home_id": None}).status == 422
    inputs = _signature(champion)

    def whole_rows_alone(folder: Path) -> None:
        golden = folder / "golden.jsonl"
        golden.write_text(golden.read_text().splitlines()[0] + "\n")

    refusing = champion.publish(1500.0, spoil=whole_rows_alone, signature=inputs)
    champion.promote(refusing)
    server.until_served(refusing)
    reply = server.ask(INFER, document)
    assert (reply.status, "row 0: area is missing" in reply.error) == (422, True)


def _signature(project: Any) -> Any:
    from stackwright_interfaces.model import Signature
    from stackwright_interfaces.types import FLOAT64, Field

    with project.stack() as stack:
        return Signature(
            inputs=stack.service("valuation@1").output_fields,
            outputs=(Field("price", FLOAT64),),
            categories={"kind": ("flat", "house")},
            missing={"area": "refuse"},
        )


@pytest.mark.parametrize("value", ["3", True, 1.5, 2**63, [3, 4], {"a": 3}])
def test_a_wrong_type_is_422_with_row_and_field(server: Any, value: Any) -> None:
    rows = [{"home_id": "H1"}, {"home_id": "H2", "rooms": value}]
    reply = server.ask("/predict", {"rows": rows})
    assert (reply.status, "row 1: field 'rooms'" in reply.error) == (422, True), reply
    reply = server.ask(INFER, infer(rooms={"data": [value]}))
    assert (reply.status, "input 'rooms' row 0" in reply.error) in ((422, True), (400, False)), reply


def test_missing_and_extra_columns_are_422_and_reordered_ones_are_matched_by_name(server: Any, kit: Any) -> None:
    assert "field 'home_id' is missing" in server.ask("/predict", {"rooms": 3}).error
    assert "unknown field 'colour'" in server.ask("/predict", {"home_id": "H1", "colour": 1}).error
    document = infer()
    missing = server.ask(INFER, {"inputs": document["inputs"][1:]})
    extra = server.ask(INFER, {"inputs": [*document["inputs"], {**document["inputs"][0], "name": "colour"}]})
    assert [missing.status, extra.status] == [422, 422]
    turned = server.ask(INFER, {"inputs": document["inputs"][::-1]})
    assert turned.json["outputs"][0]["data"] == [kit.value_of(0)]
    split = {"columns": ["rooms", "home_id"], "data": [[4, "H9"]]}
    assert server.ask("/invocations", {"dataframe_split": split}).json["predictions"] == [kit.value_of(9, rooms=4)]


@pytest.mark.parametrize(
    "change", [{"shape": [2]}, {"shape": [1, 2]}, {"shape": ["1"]}, {"data": [[1.0], [2.0, 3.0]]}, {"shape": None}]
)
def test_a_shape_that_is_not_that_of_the_data_is_400(server: Any, change: dict[str, Any]) -> None:
    assert server.ask(INFER, infer(area=change)).status == 400
    assert server.ask("/invocations", {"inputs": {"area": [1.0, 2.0], "kind": ["flat"]}}).status == 400


def test_an_empty_batch_gives_no_predictions_everywhere(server: Any) -> None:
    assert server.ask("/predict", {"rows": []}).json["predictions"] == []
    assert server.ask(INFER, infer(0)).json["outputs"][0]["data"] == []
    for body in ({"instances": []}, {"dataframe_records": []}, {"dataframe_split": {"columns": ["area"], "data": []}}):
        assert server.ask("/invocations", body).json["predictions"] == [], body
    assert server.ask("/invocations", b"", Content_Type="text/csv", Accept="text/csv").body == b""


def test_a_huge_batch_is_413_and_single_rows_are_not_starved(server: Any, start: Start, kit: Any) -> None:
    assert server.ask("/predict", {"rows": [{"home_id": "H1"}] * 101}).status == 413
    large = start(serving="at_once = 1000")
    body = json.dumps({"rows": [{"home_id": f"H{row % 200}"} for row in range(10_000)]}).encode()
    large.predict()
    done = threading.Event()

    def ask_on() -> list[int]:
        statuses = []
        while not done.is_set():
            statuses.append(large.ask("/predict", body).status)
        return statuses

    with ThreadPoolExecutor(3) as clients:
        busy = [clients.submit(ask_on) for _ in range(3)]
        took = []
        for home in range(40):
            began = time.monotonic()
            assert large.predict(home).json["predictions"][0]["value"] == kit.value_of(home)
            took.append(time.monotonic() - began)
        done.set()
        assert {status for one in busy for status in one.result()} == {200}
    assert sorted(took)[len(took) // 2] < 1.0
    assert large.metric("store_failures_total") == 0


def test_an_unknown_category_gets_the_missing_code_and_is_counted(server: Any, kit: Any) -> None:
    before = server.metric("unknown_categories_total", input="kind")
    assert server.ask(INFER, infer(kind={"data": ["castle"]})).json["outputs"][0]["data"] == [kit.value_of(0)]
    assert server.metric("unknown_categories_total", input="kind") == before + 1


# Features that are not there, late, or wrong


def test_a_missing_entity_gets_defaults_and_a_flag_or_404(server: Any, start: Start) -> None:
    (prediction,) = server.ask("/predict", {"home_id": "nowhere"}).json["predictions"]
    assert prediction["incomplete"] == ["area", "kind", "asking"]
    strict = start(model='missing = "refuse"')
    reply = strict.ask("/predict", {"home_id": "nowhere"})
    assert (reply.status, "no row of view" in reply.error) == (404, True)
    assert strict.predict().status == 200


def test_stale_features_are_flagged(server: Any, kit: Any) -> None:
    fresh, stale = server.ask("/predict", {"rows": [{"home_id": "H6"}, {"home_id": "H7"}]}).json["predictions"]
    assert ("incomplete" in fresh, stale["incomplete"]) == (False, ["asking"])
    assert stale["value"] == kit.value_of(7)


def test_a_store_that_gives_something_else_than_it_should_is_caught_and_counted(server: Any) -> None:
    (key,) = encode_keys([Column(*_strings("H199"))], [STRING])
    assert key is not None
    with server.project.stack() as stack:
        stack.features._online.write("homes@1", [OnlineRow(key, b"\xff" * 24, b"\x01 no row at all")])
    before = server.metric("store_failures_total")
    reply = server.predict(199)
    assert reply.status == 503, reply
    assert server.metric("store_failures_total") == before + 1
    assert server.predict(198).status == 200


def _strings(*values: str) -> tuple[Any, Any]:
    import numpy as np

    return np.array(values, dtype=object), np.ones(len(values), dtype=bool)


@pytest.fixture(scope="module")
def redis(start_redis: Callable[..., RedisServer]) -> Iterator[RedisServer]:
    """A Redis that keeps what it holds when it is killed."""
    server = start_redis("--appendonly", "yes", "--appendfsync", "always")
    yield server
    server.kill()


BREAKING = 'admin_tokens = [{ env = "ADMIN_TOKEN" }]\ndeadline = 1.5\nfailures = 3\nrest = 0.5'


@pytest.fixture(scope="module")
def on_redis(copied: Any, redis: RedisServer, kit: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server over that Redis: it leaves a failing store alone, and answers 503 or 504."""
    project = copied(tmp_path_factory.mktemp("redis") / "project", online=kit.on_redis(redis.url), serving=BREAKING)
    with stackwright.load(project.folder, progress=lambda *_: None) as stack:
        stack.materialize()
    running = kit.server(project)
    assert running.predict(5).json["predictions"][0]["value"] == kit.value_of(5)
    yield running
    running.clear()


def test_a_store_that_is_down_is_left_alone_and_liveness_stays_200(on_redis: Any, redis: RedisServer, kit: Any) -> None:
    redis.kill()
    try:
        statuses = [on_redis.predict().status for _ in range(6)]
        assert set(statuses) <= {503, 504}
        state = on_redis.ask("/admin/status", Authorization=f"Bearer {kit.admin_token}").json
        assert state["feature_store"] == "left alone"
        began = time.monotonic()
        left = on_redis.predict()
        assert (left.status, left.headers["retry-after"]) == (503, "1")
        assert time.monotonic() - began < 1.0
        assert on_redis.ask("/health/live").status == 200
        assert on_redis.ask(INFER, infer()).status == 200
    finally:
        redis.start()
    kit.until(lambda: on_redis.predict(5).status == 200)
    assert on_redis.predict(5).json["predictions"][0]["value"] == kit.value_of(5)


def test_a_store_that_is_slow_gets_a_deadline_and_others_are_answered_meanwhile(
    on_redis: Any, redis: RedisServer, kit: Any
) -> None:
    on_redis.predict()
    redis.stall()
    try:
        began = time.monotonic()
        assert on_redis.predict().status == 504
        assert time.monotonic() - began < 5.0
        with ThreadPoolExecutor(2) as clients:
            slow = [clients.submit(on_redis.predict) for _ in range(2)]
            time.sleep(0.05)
            began = time.monotonic()
            assert on_redis.ask("/health/live").status == 200
            assert time.monotonic() - began < 1.0
            assert {one.result().status for one in slow} <= {503, 504}
    finally:
        redis.go_on()
    kit.until(lambda: on_redis.predict(5).status == 200)


def test_defaults_stand_in_for_a_store_that_is_down_and_say_so(
    copied: Any, redis: RedisServer, kit: Any, tmp_path: Path
) -> None:
    project = copied(tmp_path / "project", online=kit.on_redis(redis.url), serving=f"{BREAKING}\nfallback = true")
    running = kit.server(project)
    try:
        assert "degraded" not in running.predict(5).json
        redis.stall()
        reply = running.predict(5, rooms=4)
        redis.go_on()
        assert reply.status == 200
        assert reply.json["degraded"] == "feature store"
        (prediction,) = reply.json["predictions"]
        assert (prediction["value"], prediction["incomplete"]) == (40.0, ["area", "kind", "asking"])
        assert running.metric("degraded_predictions_total") == 1.0
        kit.until(lambda: "degraded" not in running.predict(5).json)
    finally:
        redis.go_on()
        running.clear()


# Models that misbehave


@pytest.mark.parametrize("answer", ["NaN", "Infinity"])
def test_a_model_that_answers_with_no_number_is_500_and_json_stays_strict(
    server: Any, champion: Any, answer: str
) -> None:
    champion.mood(answer=answer)
    for path, body in (("/predict", {"home_id": "H1"}), (INFER, infer()), ("/invocations", {"home_id": "H1"})):
        reply = server.ask(path, body)
        assert (reply.status, "its log tells why" in reply.error) == (500, True)


def test_a_price_below_zero_is_what_the_rules_of_the_model_make_of_it(server: Any, champion: Any) -> None:
    limited = champion.publish(1000.5, postprocess=({"op": "clip", "low": 0.0},))
    champion.promote(limited)
    server.until_served(limited)
    champion.mood(answer="-5")
    assert server.predict().json["predictions"][0]["value"] == 0.0


def test_a_model_that_raises_is_500_with_a_request_id_and_no_traceback(server: Any, champion: Any, kit: Any) -> None:
    champion.mood(**{"raise": "the ceiling came down"})
    reply = server.ask("/predict", {"home_id": "H1"}, X_Request_ID="it-broke")
    assert reply.status == 500
    assert reply.json["request_id"] == reply.headers["x-request-id"] == "it-broke"
    assert b"Traceback" not in reply.body
    assert b"ceiling" not in reply.body
    kit.until(lambda: any(line.get("http.request.id") == "it-broke" for line in server.lines))
    champion.mood()
    assert server.predict().status == 200


def test_an_unknown_model_or_version_is_404_in_json(server: Any) -> None:
    for path in (
        "/predict/other",
        "/v2/models/other/infer",
        "/v2/models/valuation/versions/99/infer",
        "/invocations/no",
    ):
        reply = server.ask(path, infer() if "v2" in path else {"home_id": "H1"})
        assert (reply.status, bool(reply.error)) == (404, True), path
    assert server.ask("/v2/models/valuation/versions/99").status == 404


def refused(server: Any, project: Any, version: int, kit: Any) -> str:
    """Promote a version that must not be served; return what the log says of it."""
    before = server.metric("model_swaps_total", result="refused")
    project.promote(version)
    kit.until(lambda: server.metric("model_swaps_total", result="refused") > before)
    assert server.predict(3).json["version"] == 1
    assert server.predict(3).json["predictions"][0]["value"] == kit.value_of(3)

    def told() -> list[str]:
        return [line["message"] for line in server.lines if f"valuation@{version} cannot be served" in line["message"]]

    kit.until(told)  # it is counted before it is told
    return told()[-1]


def published(project: Any, version: int) -> Path:
    with project.stack() as stack:
        return Path(stack.registry.fetch(stack.registry.resolve(ModelRef("valuation", version=version))))


@pytest.mark.parametrize("damage", ["truncated", "one digit", "removed"])
def test_a_damaged_artifact_is_refused_before_it_is_read_and_the_old_version_serves(
    server: Any, champion: Any, kit: Any, damage: str
) -> None:
    version = champion.publish(2000.0 + len(damage))
    state = max((champion.folder / "registry").rglob("state.json"), key=lambda path: path.stat().st_mtime_ns)
    text = state.read_text()
    state.chmod(0o644)
    if damage == "removed":
        state.unlink()
    else:
        state.write_text(text[: len(text) // 2] if damage == "truncated" else text.replace("20", "21", 1))
    assert "state.json" in refused(server, champion, version, kit)


def lightgbm(project: Any, spoil: Callable[[Path], None]) -> int:
    """Publish a LightGBM model whose text is spoilt before its hash is taken."""
    import numpy as np

    from stackwright_interfaces.model import Manifest, Signature, describe_files
    from stackwright_interfaces.trainer import Task, TaskKind, TrainingData
    from stackwright_interfaces.types import FLOAT64, Field

    folder = project.folder / "spoilt"
    folder.mkdir()
    signature = Signature(inputs=(Field("area", FLOAT64),), outputs=(Field("price", FLOAT64),))
    rows = TrainingData(inputs=np.arange(200.0)[:, None], target=np.arange(200.0))
    with project.stack() as stack:
        task = Task(kind=TaskKind.REGRESSION, signature=signature)
        stack.trainer_named("lightgbm").fit(task, rows, None, {}, seed=1, threads=1).save(folder)
        (folder / "golden.jsonl").write_text('{"inputs": {"area": 1.0}, "output": 1.0}\n')
        spoil(next(path for path in folder.iterdir() if path.suffix == ".txt"))
        Manifest(
            flavour="lightgbm", files=describe_files(folder), signature=signature, task="regression",
            service="valuation@1", target="sale_price",
        ).write(folder)  # fmt: skip
        version = stack.registry.publish("valuation", folder, {}, who="test")
    shutil.rmtree(folder)
    return int(version.version)


def test_a_parser_that_aborts_takes_the_probe_with_it_and_not_the_server(server: Any, champion: Any, kit: Any) -> None:
    workers = server.workers

    def halve(text: Path) -> None:
        text.write_text(text.read_text()[: len(text.read_text()) // 2])

    refused(server, champion, lightgbm(champion, halve), kit)
    assert server.workers == workers


def test_a_pickle_is_refused(server: Any, champion: Any, kit: Any) -> None:
    import pickle

    def pickled(folder: Path) -> None:
        (folder / "model.pkl").write_bytes(pickle.dumps(print))

    assert "pickle" in refused(server, champion, champion.publish(1.0, spoil=pickled, flavour="pickle"), kit)


def test_a_skops_type_that_is_not_on_the_list_is_refused(server: Any, champion: Any, kit: Any) -> None:
    import functools

    import skops.io

    def dumped(folder: Path) -> None:
        skops.io.dump(functools.partial(os.system, "touch /tmp/never"), folder / "model.skops")

    assert refused(server, champion, champion.publish(2.0, spoil=dumped, flavour="sklearn"), kit)


KILLED = """
import os, signal, sys
from pathlib import Path
from stackwright.assembly.stack import Stack

def kill(*_arguments, **_options):
    os.kill(os.getpid(), signal.SIGKILL)

with Stack(Path(sys.argv[1])) as stack:
    registry = stack.registry
    os.rename = os.replace = os.link = Path.rename = Path.replace = Path.hardlink_to = kill
    registry.publish("valuation", Path(sys.argv[2]), {})
"""


def test_a_publisher_killed_in_the_middle_leaves_nothing_to_be_seen_and_the_next_one_tidies_up(
    server: Any, champion: Any, tmp_path: Path
) -> None:
    shutil.copytree(published(champion, 1), tmp_path / "model")
    (tmp_path / "model" / "notes.txt").write_text("another version")
    from stackwright_interfaces.model import Manifest, describe_files

    manifest = Manifest.read(published(champion, 1))
    (tmp_path / "model" / "manifest.json").unlink()
    Manifest(**{**vars(manifest), "files": describe_files(tmp_path / "model")}).write(tmp_path / "model")
    with champion.stack() as stack:
        before = [version.version for version in stack.registry.history()[0]]
    files = {path for path in (champion.folder / "registry").rglob("*") if path.is_file()}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(champion.folder), str(tmp_path / "model")], capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    left = {path for path in (champion.folder / "registry").rglob("*") if path.is_file()} - files
    assert left
    assert server.ask("/models").json["models"][0]["version"] == 1
    with champion.stack() as stack:
        assert [version.version for version in stack.registry.history()[0]] == before
    for path in left:  # a writer may still be at work on what is young
        os.utime(path, (0, 0))
    assert champion.publish(3000.0) == max(before) + 1
    assert [path for path in left if path.exists()] == []
    assert server.predict().json["version"] == 1


def test_a_full_disk_costs_log_lines_and_no_prediction(server: Any, kit: Any) -> None:
    (worker,) = server.workers
    before = server.metric("lost_predictions_total")
    limits = resource.prlimit(worker, resource.RLIMIT_FSIZE)
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        for home in range(100):
            assert server.predict(home).json["predictions"][0]["value"] == kit.value_of(home)
        kit.until(lambda: server.metric("lost_predictions_total") > before)
    finally:
        resource.prlimit(worker, resource.RLIMIT_FSIZE, limits)
    assert server.workers == [worker]
    with server.project.stack() as stack:
        served = server.predict(42).json["predictions"][0]["prediction_id"]
        kit.until(lambda: journal.predictions(stack).find(served))


# Registries


def test_two_publishers_get_two_versions_and_two_promoters_have_one_winner(
    server: Any, champion: Any, kit: Any
) -> None:
    with ThreadPoolExecutor(2) as publishers:
        versions = list(publishers.map(champion.publish, [4000.0, 5000.0]))
    assert len(set(versions)) == 2
    go = threading.Barrier(2)

    def promote(version: int) -> bool:
        with champion.stack() as stack:
            event = Event(at=datetime.now(UTC), kind="alias", name="valuation", alias="champion", after=version)
            go.wait()
            try:
                stack.registry.record(event, expected=1)
            except AliasConflict:
                return False
            return True

    with ThreadPoolExecutor(2) as promoters:
        won = list(promoters.map(promote, versions))
    assert sorted(won) == [False, True]
    winner = versions[won.index(True)]
    server.until_served(winner)
    assert server.predict(2).json["predictions"][0]["value"] == kit.value_of(2, {0: 4000.0, 1: 5000.0}[won.index(True)])


def test_a_registry_that_is_away_stops_nothing_that_runs(server: Any, champion: Any, kit: Any) -> None:
    registry, away = champion.folder / "registry", champion.folder / "elsewhere"
    registry.rename(away)
    try:
        time.sleep(0.5)
        assert server.predict(4).json["predictions"][0]["value"] == kit.value_of(4)
        assert server.ask("/health/ready").status == 200
    finally:
        if registry.exists():
            shutil.rmtree(registry)
        away.rename(registry)


def test_a_server_does_not_start_without_its_registry(copied: Any, kit: Any, tmp_path: Path) -> None:
    project = copied(tmp_path / "project")
    shutil.rmtree(project.folder / "registry")
    running = kit.server(project)
    assert running.end() != 0
    assert "Traceback" not in running.log
    assert len(running.log.strip().splitlines()) == 1


def test_an_alias_that_flips_under_load_leaves_one_version_a_request(server: Any, champion: Any, kit: Any) -> None:
    other = champion.publish(6000.0)
    factors = {1: 1000.0, other: 6000.0}
    stop, seen, wrong = threading.Event(), Counter[int](), []

    def ask_on(start: int) -> None:
        connection = server.connect()
        while not stop.is_set():
            rows = [{"home_id": f"H{(start + row) % 190}"} for row in range(5)]
            reply = server.over(connection, "/predict", {"rows": rows}).json
            values = [item["value"] for item in reply["predictions"]]
            expected = [kit.value_of((start + row) % 190, factors[reply["version"]]) for row in range(5)]
            seen[reply["version"]] += 1
            if values != expected:
                wrong.append(reply)
        connection.close()

    with ThreadPoolExecutor(4) as clients:
        asking = [clients.submit(ask_on, number * 7) for number in range(4)]
        for turn in range(6):
            champion.promote(other if turn % 2 == 0 else 1)
            time.sleep(0.3)
        kit.until(lambda: len(seen) == 2, 20)
        stop.set()
        for one in asking:
            one.result()
    assert wrong == []


def test_a_version_that_warms_too_slowly_is_not_swapped_in(start: Start, kit: Any) -> None:
    running = start(serving="probe = 8.0")
    kit.until(lambda: running.ask("/health/ready").status == 200)
    version = running.project.publish(7000.0)
    running.project.mood(sleep={"7000.0": 60})
    assert "did not load within 8 s" in refused(running, running.project, version, kit)


def test_a_version_that_fails_its_golden_predictions_is_not_swapped_in(server: Any, champion: Any, kit: Any) -> None:
    def lie(folder: Path) -> None:
        (folder / "golden.jsonl").write_text((folder / "golden.jsonl").read_text().replace('output": 4', 'output": 5'))

    assert "golden row 0" in refused(server, champion, champion.publish(8000.0, spoil=lie), kit)


# Processes


def test_no_accepted_request_is_lost_when_the_server_stops_under_load(start: Start, kit: Any) -> None:
    running = start(server="workers = 2\ndelay = 1.0")
    running.predict()
    outcomes: Counter[str] = Counter()
    wrong: list[Any] = []

    def ask_until_refused(client: int) -> None:
        for number in range(1_000_000):
            connection = running.connect()
            try:
                connection.connect()
            except ConnectionRefusedError:
                return
            home = (client * 31 + number) % 190
            try:
                reply = running.over(connection, "/predict", {"home_id": f"H{home}"})
                outcomes[str(reply.status)] += 1
                if reply.json["predictions"][0]["value"] != kit.value_of(home):
                    wrong.append(reply)
            except (OSError, http.client.HTTPException) as error:
                outcomes[type(error).__name__] += 1
            finally:
                connection.close()

    with ThreadPoolExecutor(6) as clients:
        asking = [clients.submit(ask_until_refused, number) for number in range(6)]
        kit.until(lambda: outcomes["200"] > 20)
        running.tell(signal.SIGTERM)
        kit.until(lambda: running.ask("/health/ready").status == 503, 0.9)
        for one in asking:
            one.result()
    assert running.end() == 0
    assert (set(outcomes), wrong) == ({"200"}, [])
    with running.project.stack() as stack:
        assert sum(1 for _ in journal.predictions(stack).records()) == outcomes["200"] + 1


def test_a_worker_that_is_killed_is_replaced_and_one_that_keeps_dying_ends_the_server(start: Start, kit: Any) -> None:
    running = start()
    running.url()
    (first,) = running.workers
    os.kill(first, signal.SIGKILL)
    kit.until(lambda: running.workers and running.workers != [first])
    assert running.predict(8).json["predictions"][0]["value"] == kit.value_of(8)
    killed = {first}
    deadline = time.monotonic() + 60
    while running.process.poll() is None and time.monotonic() < deadline:
        for pid in set(running.workers) - killed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        time.sleep(0.02)
    assert running.end() != 0
    assert "a worker failed 6 times in a row" in running.log


def test_workers_end_with_their_parent(start: Start, kit: Any) -> None:
    running = start(server="workers = 2")
    running.url()
    workers = running.workers
    assert len(workers) == 2
    running.process.kill()
    kit.until(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() and _lives(pid) for pid in workers))


def _lives(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return False


# Clients that misbehave


def test_slow_headers_and_slow_bodies_are_408(server: Any, kit: Any) -> None:
    assert server.raw(b"POST /predict HTTP/1.1\r\nhost: x\r\n").startswith(b"HTTP/1.1 408 ")
    head = f"POST /predict HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {kit.token}\r\ncontent-length: 100\r\n\r\n"
    assert server.raw(head.encode() + b'{"home_id"').startswith(b"HTTP/1.1 408 ")


def held(server: Any, kit: Any, number: int) -> list[socket.socket]:
    """Open connections whose requests have begun and do not end."""
    head = f"POST /predict HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {kit.token}\r\ncontent-length: 100\r\n\r\n{{"
    opened = [server.open() for _ in range(number)]
    for sock in opened:
        sock.sendall(head.encode())
    return opened


def under_way(server: Any, kit: Any) -> int:
    return int(server.ask("/admin/status", Authorization=f"Bearer {kit.admin_token}").json["under_way"])


def test_overload_is_503_at_once_while_health_answers(server: Any, kit: Any) -> None:
    opened = held(server, kit, SLOTS)
    kit.until(lambda: under_way(server, kit) == SLOTS)
    began = time.monotonic()
    reply = server.predict()
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")
    assert server.ask("/health/live").status == 200
    assert time.monotonic() - began < 1.0
    for sock in opened:
        sock.close()
    kit.until(lambda: server.predict().status == 200)


def test_a_client_that_leaves_frees_its_place(server: Any, kit: Any) -> None:
    opened = held(server, kit, 3)
    kit.until(lambda: under_way(server, kit) == 3)
    for sock in opened:
        sock.close()
    kit.until(lambda: under_way(server, kit) == 0, 1.0)


SHIFTED = """
import datetime, os, pathlib
from stackwright.workflows.live import application as live

def clock():
    back = pathlib.Path(os.environ["SHIFT"]).exists()
    return datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1 if back else 0)

class Shifted(live.Stack):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, clock=clock, **options)

live.Stack = Shifted
application = live.application
"""
SERVE_SHIFTED = """
import sys
from stackwright.workflows.live import serve
serve.FACTORY = "shifted:application"
from stackwright.cli.main import main
main(sys.argv[1:])
"""


def test_a_clock_that_steps_back_breaks_no_deadline_and_the_future_stays_refused(
    start: Start, kit: Any, tmp_path: Path
) -> None:
    (tmp_path / "shifted.py").write_text(SHIFTED)
    shift = tmp_path / "shift"
    environment = {"PYTHONPATH": str(tmp_path), "SHIFT": str(shift)}
    running = start(environment=environment, script=SERVE_SHIFTED, serving="timeout = 5.0")
    assert running.predict(9).status == 200
    shift.touch()
    now = datetime.now(UTC)
    assert running.predict(9).json["predictions"][0]["value"] == kit.value_of(9)
    ahead = running.ask(
        f"/predict?at={(now + timedelta(seconds=0)).isoformat().replace('+', '%2B')}", {"home_id": "H9"}
    )
    assert (ahead.status, "future" in ahead.error) == (422, True)
    past = now - timedelta(hours=2)
    assert running.ask(f"/predict?at={past.isoformat().replace('+', '%2B')}", {"home_id": "H9"}).status == 200


# Predictions and labels


def test_a_double_prediction_an_early_label_and_a_revised_one(server: Any, kit: Any, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    made = server.predict(77).json["predictions"][0]["prediction_id"]
    with stackwright.load(server.project.folder, progress=lambda *_: None) as stack:
        kit.until(lambda: journal.predictions(stack).find(made))
        folder = server.project.folder / "journal" / "predictions"
        segment = next(path for path in folder.rglob("*.jsonl") if made in path.read_text())
        line = next(line for line in segment.read_text().splitlines() if made in line)
        double = segment.with_name(segment.name.replace(".jsonl", "x.jsonl"))
        double.write_text(line + "\n")
        again = journal.predictions(stack).read()
        assert (again.table.column("prediction_id").to_pylist().count(made), again.counts.duplicates) == (1, 1)
        double.unlink()
        now = datetime.now(UTC)

        def label(price: float, asked: datetime) -> Any:
            rows = {
                "home_id": ["H77"], "rooms": [3], "price": [price], "asked_at": [asked],
                "happened_at": [asked + timedelta(hours=1)], "known_at": [asked + timedelta(hours=2)],
                "sold_at": [asked + timedelta(hours=1)], "label_id": ["L77"],
            }  # fmt: skip
            path = tmp_path / f"{price}.parquet"
            pyarrow.parquet.write_table(pa.table(rows), path)
            return stack.label(path)

        asked = now - timedelta(days=1)
        label(1.0, asked)
        label(1.0, asked)
        label(2.0, asked)
        log = journal.labels(stack, stack.target("sale_price"))
        assert log.read().column("price").to_pylist() == [2.0]
        assert log.history("L77").num_rows == 2


def test_header_injection_and_paths_for_names_are_400(server: Any, kit: Any) -> None:
    head = f"GET /models HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {kit.token}\r\n"
    reply = server.raw((head + "x-request-id: a\r\n b: c\r\n\r\n").encode())
    assert b"\r\nb: c" not in reply
    reply = server.raw((head + "x-request-id: <script>\r\n\r\n").encode())
    assert b"<script>" not in reply
    assert server.raw((head + "x\x00y: z\r\n\r\n").encode()).startswith(b"HTTP/1.1 400 ")
    for path in ("/predict/../secret", "/predict/..%2F..%2Fetc%2Fpasswd", "/v2/models/%2e%2e/infer", "/predict/a%00b"):
        assert server.ask(path, {"home_id": "H1"}).status == 400, path
    assert server.ask("/predict/-x", {"home_id": "H1"}).status == 400


def test_a_bad_token_is_401_and_no_token_is_logged(server: Any, kit: Any) -> None:
    for path, body in (("/predict", {"home_id": "H1"}), ("/models", None), ("/metrics", None)):
        for token in ("wrong-token-0123456789", kit.token[:-1], kit.token + "x", "", kit.admin_token):
            known = token == kit.admin_token and body is None
            reply = server.ask(path, body, Authorization=f"Bearer {token}")
            assert reply.status == (200 if known else 401), (path, token)
        for token in (kit.token, kit.old_token):
            assert server.ask(path, body, Authorization=f"bearer {token}").status == 200
        assert server.ask(path, body, Authorization=f"Basic {kit.token}").status == 401
    assert server.ask("/admin/status").status == 401
    assert "www-authenticate" in server.ask("/admin/status").headers
    assert server.ask("/health/live", Authorization="none").status == 200
    server.ask(f"/predict?token={kit.token}", {"home_id": kit.token})
    kit.until(lambda: server.lines)
    time.sleep(0.2)
    for secret in (kit.token, kit.old_token, kit.admin_token):
        assert secret not in server.log


# Surroundings


def test_a_port_in_use_and_a_disk_that_cannot_be_written_are_one_line_and_an_exit_code(
    start: Start, server: Any
) -> None:
    port = server.netloc.rpartition(":")[2]
    taken = start("--port", port)
    assert taken.end() != 0

    def write_protect(project: Any) -> None:
        shutil.rmtree(project.folder / ".stackwright" / "metrics", ignore_errors=True)
        (project.folder / ".stackwright" / "metrics").symlink_to("/proc/self/nowhere")

    stuck = start(prepare=write_protect)
    assert stuck.end() != 0
    for running, part in ((taken, "in use"), (stuck, "cannot be written")):
        lines = [line for line in running.log.splitlines() if line.strip()]
        assert (len(lines), part in lines[0]) == (1, True), running.log


def test_a_shadow_that_hangs_keeps_no_answer_waiting(server: Any, champion: Any, kit: Any) -> None:
    version = champion.publish(9000.0)
    with stackwright.load(champion.folder, progress=lambda *_: None) as stack:
        stack.canary("valuation", version, shadow=True, force=True, reason="a test")
        try:
            kit.until(lambda: "challenger" in server.ask("/models").json["models"][0])
            champion.mood(sleep={"9000.0": 30})
            took = []
            for home in range(20):
                began = time.monotonic()
                assert server.predict(home).json["predictions"][0]["value"] == kit.value_of(home)
                took.append(time.monotonic() - began)
            assert max(took) < 5.0
        finally:
            champion.mood()
            stack.canary("valuation", end=True)
    kit.until(lambda: "challenger" not in server.ask("/models").json["models"][0])


def test_a_torn_last_log_line_is_skipped_and_counted(server: Any, kit: Any) -> None:
    made = server.predict(78).json["predictions"][0]["prediction_id"]
    with server.project.stack() as stack:
        kit.until(lambda: journal.predictions(stack).find(made))
        before = journal.predictions(stack).read()
        folder = server.project.folder / "journal" / "predictions"
        segment = next(path for path in folder.rglob("*.jsonl") if made in path.read_text())
        torn = segment.with_name(segment.name.replace(".jsonl", "t.jsonl"))
        line = segment.read_text().splitlines()[0]
        torn.write_text(f"{line}\n{line[: len(line) // 2]}")
        after = journal.predictions(stack).read()
        torn.unlink()
    assert after.table.num_rows == before.table.num_rows
    assert (after.counts.torn, after.counts.duplicates) == (before.counts.torn + 1, before.counts.duplicates + 1)
