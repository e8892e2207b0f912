"""Models that predict for long are compiled; their answers are the same bits as before."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stackwright_interfaces.testing.trainer_rows import Homes
from stackwright_interfaces.trainer import FittedModel, TaskKind
from stackwright_interfaces.writer_lock import WriterLock
from stackwright_lightgbm.compilation import CompiledBooster, booster_of
from stackwright_lightgbm.compiler import NotCompiledError, compiled
from stackwright_lightgbm.kept_code import LOCK, Kept, read, write
from stackwright_lightgbm.machine_code import MachineCode
from stackwright_lightgbm.native import NativeBooster
from stackwright_lightgbm.text import leaves_of

Fit = Callable[..., FittedModel]

ROWS = Homes.make(200, seed=2, unknown=True).inputs("matrix")
CELLS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([np.nan, 0.0, -0.0, 1e-40, -1.0000000180025095e-35, 1.0, 2.0, 3.0, 55.5, 120.0, -1.0, 1e300]),
)


def text_of(fitted: FittedModel, folder: Path) -> bytes:
    fitted.save(folder)
    return (folder / "model.txt").read_bytes()


@pytest.fixture
def text(fit: Fit, tmp_path: Path) -> bytes:
    return text_of(fit(), tmp_path)


@pytest.fixture(scope="module")
def code_and_trees() -> tuple[MachineCode, NativeBooster]:
    text = grown({"num_leaves": 15})
    return MachineCode(compiled(text)), NativeBooster(text)


def grown(options: dict[str, Any]) -> bytes:
    """Return a small model with options of LightGBM."""
    import lightgbm

    homes = Homes.make(300, seed=1)
    matrix = homes.inputs("matrix")
    matrix[::3, 0] = 0.0
    categories = [] if options.get("linear_tree") else [3]
    rows = lightgbm.Dataset(matrix, homes.price, categorical_feature=categories)
    return lightgbm.train({"verbosity": -1, "num_leaves": 7, **options}, rows, 5).model_to_string().encode()


PATIENCE = 300.0
"""Seconds after which nothing is waited for; what is compiled gives way to all else on a machine."""


def predict_until_told(booster: NativeBooster, caplog: pytest.LogCaptureFixture) -> np.ndarray:
    """Predict until something is logged; return the last answer."""
    ends = time.monotonic() + PATIENCE
    with caplog.at_level(logging.WARNING, "stackwright_lightgbm"):
        while not caplog.records and time.monotonic() < ends:
            answer = booster.predict(ROWS)
            time.sleep(0.001)
    return answer


def wait_for_code(booster: CompiledBooster, rows: Any = ROWS) -> None:
    """Predict until machine code answers."""
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        booster.predict(rows)
        if booster.compiled:
            return
        time.sleep(0.001)
    pytest.fail("the model was not compiled within five minutes")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(st.data())
def test_any_row_gets_the_same_bits(code_and_trees: tuple[MachineCode, NativeBooster], data: st.DataObject) -> None:
    code, booster = code_and_trees
    matrix = data.draw(arrays(np.float64, (data.draw(st.integers(0, 20)), booster.inputs), elements=CELLS))
    assert np.array_equal(code.predict(matrix), booster.predict(matrix), equal_nan=True)


@pytest.mark.parametrize("threads", [1, 2])
def test_many_rows_are_shared_by_threads(code_and_trees: tuple[MachineCode, NativeBooster], threads: int) -> None:
    code, booster = code_and_trees
    matrix = np.tile(ROWS, (200, 1))
    assert np.array_equal(code.predict(matrix, threads), booster.predict(matrix))


@pytest.mark.parametrize("threads", [1, 2])
def test_no_rows_have_no_answers(code_and_trees: tuple[MachineCode, NativeBooster], threads: int) -> None:
    code, booster = code_and_trees
    assert code.predict(np.empty((0, booster.inputs)), threads).shape == (0,)


@pytest.mark.parametrize("kind", [kind for kind in TaskKind if kind is not TaskKind.TIME_TO_EVENT])
def test_every_task_answers_as_lightgbm_does(fit: Fit, tmp_path: Path, kind: TaskKind) -> None:
    text = text_of(fit(kind=kind), tmp_path)
    assert np.array_equal(MachineCode(compiled(text)).predict(ROWS), NativeBooster(text).predict(ROWS))


@pytest.mark.parametrize(
    "options",
    [{"objective": "poisson"}, {"objective": "tweedie"}, {"use_missing": False}, {"reg_sqrt": True}],
    ids=str,
)
def test_every_objective_answers_as_lightgbm_does(options: dict[str, Any]) -> None:
    text = grown(options)
    assert np.array_equal(MachineCode(compiled(text)).predict(ROWS), NativeBooster(text).predict(ROWS))


@pytest.mark.parametrize("options", [{"zero_as_missing": True}, {"linear_tree": True}], ids=str)
def test_code_that_would_answer_otherwise_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(NotCompiledError, match="otherwise than LightGBM"):
        compiled(grown(options))


def test_a_refused_model_stays_with_lightgbm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = grown({"linear_tree": True})
    booster = booster_of(text, cache=tmp_path)
    answer = predict_until_told(booster, caplog)
    assert "otherwise than LightGBM" in caplog.text
    assert np.array_equal(answer, NativeBooster(text).predict(ROWS))
    (told,) = (tmp_path / "lightgbm").glob("*.code")
    first = told.read_bytes()
    caplog.clear()
    booster.close()
    del booster
    predict_until_told(booster_of(text, cache=tmp_path), caplog)
    assert "otherwise than LightGBM" in caplog.text
    assert told.read_bytes() == first


def test_a_model_is_compiled_once_it_has_predicted_for_long(text: bytes, tmp_path: Path) -> None:
    booster = CompiledBooster(text, tmp_path / "code")
    before = booster.predict(ROWS)
    assert not booster.compiled
    wait_for_code(booster)
    assert np.array_equal(booster.predict(ROWS), before)
    assert np.array_equal(booster.predict(ROWS[:1]), before[:1])


def test_code_of_an_earlier_process_is_taken(text: bytes, tmp_path: Path) -> None:
    first = CompiledBooster(text, tmp_path)
    wait_for_code(first)
    (made,) = tmp_path.glob("*.code")
    content = made.read_bytes()
    first.close()
    del first
    again = CompiledBooster(text, tmp_path)
    wait_for_code(again, ROWS[:1])
    assert list(tmp_path.glob("*.code")) == [made]
    assert made.read_bytes() == content


def test_a_damaged_file_is_compiled_anew(text: bytes, tmp_path: Path) -> None:
    first = CompiledBooster(text, tmp_path)
    wait_for_code(first)
    (made,) = tmp_path.glob("*.code")
    whole = made.read_bytes()
    made.write_bytes(whole[:-100])
    first.close()
    del first
    again = CompiledBooster(text, tmp_path)
    wait_for_code(again)
    assert np.array_equal(again.predict(ROWS), NativeBooster(text).predict(ROWS))
    assert made.read_bytes()[:64] == whole[:64]


def test_several_predictors_of_a_process_share_one_compilation(text: bytes, tmp_path: Path) -> None:
    boosters = [CompiledBooster(text, tmp_path) for _ in range(3)]
    threads = [threading.Thread(target=wait_for_code, args=(booster,)) for booster in boosters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(booster.compiled for booster in boosters)
    assert len(list(tmp_path.glob("*.code"))) == 1


def test_a_folder_that_cannot_be_written_to_leaves_the_model_as_it_is(
    text: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "lightgbm").write_text("not a folder")
    booster = booster_of(text, cache=tmp_path)
    answer = predict_until_told(booster, caplog)
    assert "stays with LightGBM's own prediction" in caplog.text
    assert np.array_equal(answer, NativeBooster(text).predict(ROWS))


def test_what_a_process_had_begun_is_there_for_the_next(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.txt").write_bytes(text)
    program = """
import sys, time
from pathlib import Path
import numpy as np
from stackwright_lightgbm.compilation import CompiledBooster
booster = CompiledBooster(Path(sys.argv[1], "model.txt").read_bytes(), Path(sys.argv[1], "code"))
while not list(Path(sys.argv[1]).glob("code/*.lock")):
    booster.predict(np.zeros((200, 4)))
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    ends = time.monotonic() + PATIENCE
    while not list(tmp_path.glob("code/*.code")) and time.monotonic() < ends:
        time.sleep(0.01)
    assert list(tmp_path.glob("code/*.code"))


def compiler_of(text: bytes, file: Path) -> subprocess.Popen[bytes]:
    """Start a compiler, and hand it the text of a model."""
    command = [sys.executable, "-m", "stackwright_lightgbm.compiler", str(file)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdin
    child.stdin.write(text)
    child.stdin.close()
    return child


def file_of(text: bytes, folder: Path) -> Path:
    return folder / f"{hashlib.sha256(text).hexdigest()}-here.code"


def test_a_text_that_came_in_part_is_not_held_against_its_model(text: bytes, tmp_path: Path) -> None:
    child = compiler_of(text[: len(text) // 2], file_of(text, tmp_path))
    assert child.stderr
    assert b"ended before its text was read" in child.stderr.read()
    assert child.wait() == 1
    assert list(tmp_path.glob("*.code")) == []


def test_a_refusal_is_kept_though_nobody_hears_it(tmp_path: Path) -> None:
    text = grown({"linear_tree": True})
    child = compiler_of(text, file_of(text, tmp_path))
    assert child.stderr
    child.stderr.close()
    child.wait()
    kept = read(file_of(text, tmp_path))
    assert kept is not None
    assert (kept.code, "otherwise than LightGBM" in kept.refusal) == (b"", True)


def test_one_process_of_a_folder_compiles_at_a_time(tmp_path: Path) -> None:
    text = grown({})
    with WriterLock(tmp_path / LOCK).hold(1):
        child = compiler_of(text, file_of(text, tmp_path))
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(3)
    assert child.wait() == 0
    assert read(file_of(text, tmp_path))


def test_a_process_runs_one_compiler_at_a_time(tmp_path: Path) -> None:
    boosters = [CompiledBooster(grown({"num_leaves": leaves}), tmp_path) for leaves in (5, 7)]
    most = 0
    ends = time.monotonic() + PATIENCE
    while not all(booster.compiled for booster in boosters) and time.monotonic() < ends:
        for booster in boosters:
            booster.predict(ROWS)
        time.sleep(0.001)
        children = [path.read_text().split() for path in Path("/proc/self/task").glob("*/children")]
        most = max(most, sum(map(len, children)))
    assert [booster.compiled for booster in boosters] == [True, True]
    assert most == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_code_in_a_folder_of_another_user_is_taken() -> None:
    with TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        file = Path(place, "any.code")
        write(file, Kept(code=b"code"))
        os.seteuid(65_534)
        try:
            assert read(file) == Kept(code=b"code")
        finally:
            os.seteuid(0)


def test_without_a_cache_nothing_is_compiled(text: bytes) -> None:
    assert type(booster_of(text)) is NativeBooster


def test_leaves_are_counted(text: bytes) -> None:
    import lightgbm

    trees = lightgbm.Booster(model_str=text.decode()).dump_model()["tree_info"]
    assert leaves_of(text) == sum(tree["num_leaves"] for tree in trees)
