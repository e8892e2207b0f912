"""Models that misbehave, and versions that must not be served."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stackwright

Start = Callable[..., Any]

INFER = "/v2/models/valuation/infer"


@pytest.mark.parametrize("answer", ["NaN", "Infinity"])
def test_a_model_that_answers_with_no_number_is_500_and_json_stays_strict(
    server: Any, champion: Any, answer: str, kit: Any
) -> None:
    champion.mood(answer=answer)
    for path, body in (("/predict", {"home_id": "H1"}), (INFER, kit.infer()), ("/invocations", {"home_id": "H1"})):
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


def test_an_unknown_model_or_version_is_404_in_json(server: Any, kit: Any) -> None:
    for path in (
        "/predict/other",
        "/v2/models/other/infer",
        "/v2/models/valuation/versions/99/infer",
        "/invocations/no",
    ):
        reply = server.ask(path, kit.infer() if "v2" in path else {"home_id": "H1"})
        assert (reply.status, bool(reply.error)) == (404, True), path
    assert server.ask("/v2/models/valuation/versions/99").status == 404


@pytest.mark.parametrize("damage", ["truncated", "one digit", "removed"])
def test_a_damaged_artifact_is_refused_before_it_is_read_and_the_old_version_serves(
    server: Any, champion: Any, damage: str
) -> None:
    version = champion.publish(2000.0 + len(damage))
    state = max((champion.folder / "registry").rglob("state.json"), key=lambda path: path.stat().st_mtime_ns)
    text = state.read_text()
    state.chmod(0o644)
    if damage == "removed":
        state.unlink()
    else:
        state.write_text(text[: len(text) // 2] if damage == "truncated" else text.replace("20", "21", 1))
    assert "state.json" in server.refusal_of(version)


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


def test_a_parser_that_aborts_takes_the_probe_with_it_and_not_the_server(server: Any, champion: Any) -> None:
    workers = server.workers

    def halve(text: Path) -> None:
        text.write_text(text.read_text()[: len(text.read_text()) // 2])

    server.refusal_of(lightgbm(champion, halve))
    assert server.workers == workers


def test_a_pickle_is_refused(server: Any, champion: Any) -> None:
    import pickle

    def pickled(folder: Path) -> None:
        (folder / "model.pkl").write_bytes(pickle.dumps(print))

    assert "pickle" in server.refusal_of(champion.publish(1.0, spoil=pickled, flavour="pickle"))


def test_a_skops_type_that_is_not_on_the_list_is_refused(server: Any, champion: Any) -> None:
    import functools

    import skops.io

    def dumped(folder: Path) -> None:
        skops.io.dump(functools.partial(os.system, "touch /tmp/never"), folder / "model.skops")

    assert server.refusal_of(champion.publish(2.0, spoil=dumped, flavour="sklearn"))


def test_a_version_that_warms_too_slowly_is_not_swapped_in(start: Start, kit: Any) -> None:
    running = start(serving="probe = 8.0")
    kit.until(lambda: running.ask("/health/ready").status == 200)
    version = running.project.publish(7000.0)
    running.project.mood(sleep={"7000.0": 60})
    assert "did not load within 8 s" in running.refusal_of(version)


def test_a_version_that_fails_its_golden_predictions_is_not_swapped_in(server: Any, champion: Any) -> None:
    def lie(folder: Path) -> None:
        (folder / "golden.jsonl").write_text((folder / "golden.jsonl").read_text().replace('output": 4', 'output": 5'))

    assert "golden row 0" in server.refusal_of(champion.publish(8000.0, spoil=lie))


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
