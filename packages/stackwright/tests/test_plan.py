from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stackwright.assembly.blueprint import BlueprintProblems, read
from stackwright.assembly.discovery import Plugins
from stackwright.assembly.plan import Plan, plan
from stackwright_interfaces.definitions import Definitions, Entity, FeatureService, FeatureView, Target
from stackwright_interfaces.plugin import AdapterSpec, hookimpl
from stackwright_interfaces.registry import Registry
from stackwright_interfaces.types import FLOAT64, STRING, Field

Write = Callable[[str], Path]

STORE = 'name = "avm"\n[feature_store]\noffline = { adapter = "shelf", path = "d" }\n'
LISTING = Entity(name="listing", keys=(Field("listing_id", STRING),))
HOMES = FeatureView(name="homes", entity=LISTING, fields=(Field("area", FLOAT64),))
DEFINITIONS = Definitions(
    entities=(LISTING,),
    views=(HOMES,),
    services=(FeatureService(name="valuation", selections=(HOMES.select(),)),),
    targets=(Target(name="sale_price", entity=LISTING, value=Field("price", FLOAT64)),),
)


def planned(path: Path, plugins: Plugins, definitions: Definitions | None = None) -> Plan:
    return plan(read(path), plugins, definitions or Definitions())


def problems(path: Path, plugins: Plugins, definitions: Definitions | None = None) -> str:
    with pytest.raises(BlueprintProblems) as caught:
        planned(path, plugins, definitions)
    return str(caught.value)


def test_a_good_blueprint_is_planned_without_importing_the_factory(write: Write, plugins: Plugins) -> None:
    assert planned(write(STORE), plugins).choices["offline"].spec.name == "shelf"


def test_an_absent_adapter_is_answered_with_the_install_command(write: Write, plugins: Plugins) -> None:
    found = problems(write('name = "a"\n[registry]\nadapter = "quux"'), plugins)
    assert "blueprint.toml [registry]: no adapter named 'quux'." in found
    assert "pip install stackwright-quux" in found


def test_a_mistyped_adapter_is_answered_with_the_near_name(write: Write, plugins: Plugins) -> None:
    found = problems(write('name = "a"\n[feature_store]\noffline = { adapter = "shelv", path = "d" }'), plugins)
    assert "Did you mean 'shelf'?" in found


def test_options_are_checked_against_the_adapters_configuration(write: Write, plugins: Plugins) -> None:
    found = problems(
        write('name = "a"\n[feature_store]\noffline = { adapter = "shelf", rows = "many", ratoi = 1, names = 3 }'),
        plugins,
    )
    assert "rows is 'many', a str. Give a whole number." in found
    assert "unknown key 'ratoi'. Did you mean 'ratio'?" in found
    assert "names is 3, a int" in found
    assert "path is missing. Add: path = ..." in found


def test_a_use_case_names_the_slots_it_lacks(write: Write, plugins: Plugins) -> None:
    found = problems(write('use_case = "realtime"\n' + STORE), plugins)
    for slot in ("models", "registry", "server"):
        assert f"needs [{slot}]" in found


def test_two_plugins_that_offer_one_adapter_are_an_error(write: Write, plugins: Plugins) -> None:
    class Twin:
        @hookimpl
        def stackwright_adapters(self) -> list[AdapterSpec]:
            (spec,) = (spec for spec in plugins.load("shelf")[0].adapters if "Offline" in spec.provides.__name__)
            return [spec, spec]

    found = problems(write(STORE), Plugins(extra={"shelf": Twin()}))
    assert "adapter 'shelf' is offered by" in found


def test_a_broken_plugin_is_named_and_stops_only_those_who_use_it(write: Write, plugins: Plugins) -> None:
    class Broken:
        @hookimpl
        def stackwright_adaptors(self) -> list[AdapterSpec]:
            return []

    plugins.extra["broken"] = Broken()
    assert planned(write(STORE), plugins)
    assert "broken" in problems(write('name = "a"\n[registry]\nadapter = "broken"'), plugins)


def test_an_adapter_of_another_contract_version_is_refused(write: Write) -> None:
    class Old:
        @hookimpl
        def stackwright_adapters(self) -> list[AdapterSpec]:
            return [AdapterSpec(name="old", provides=Registry, contract=0, config=Definitions, factory="x:y")]

    found = problems(write('name = "a"\nregistry = "old"'), Plugins(extra={"old": Old()}))
    assert "written to version 0 of its contract, this is 1" in found


def test_models_are_checked_against_what_was_applied(write: Write, plugins: Plugins) -> None:
    text = STORE + '[models.m]\nservice = "valuation@2"\ntarget = "price"\ntrainer = "shelf"\ngates = { basline = {} }'
    found = problems(write(text), plugins, DEFINITIONS)
    assert "no service 'valuation@2'. Did you mean 'valuation@1'?" in found
    assert "no target 'price'" in found
    assert "no gate 'basline'. Did you mean 'baseline'?" in found


def test_secrets_appear_in_no_digest(write: Write, plugins: Plugins, monkeypatch: pytest.MonkeyPatch) -> None:
    text = STORE.replace('path = "d"', 'path = "d", password = { env = "PW" }')
    monkeypatch.setenv("PW", "swordfish")
    first = planned(write(text), plugins)
    monkeypatch.setenv("PW", "two")
    assert planned(write(text), plugins).digest == first.digest
    assert "swordfish" not in repr(first)


def test_planning_imports_no_vendor_no_numpy_and_no_pandas(tmp_path: Path) -> None:
    (tmp_path / "blueprint.toml").write_text(
        'name = "a"\n[feature_store]\noffline = { adapter = "duckdb", path = "d" }\n'
    )
    code = (
        "import sys; from stackwright.cli.main import main; code = main(['check', '--project', sys.argv[1]]);"
        "heavy = {'numpy', 'pandas', 'pyarrow', 'duckdb', 'lightgbm', 'rich'} & set(sys.modules);"
        "print(sorted(heavy)); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr
    assert done.returncode == 0, done.stdout


def test_gates_are_checked_with_their_options(write: Write, plugins: Plugins) -> None:
    gates = "gates = { smoke = { rwos = 3 }, baseline = { min_gain = true }, artifact = 3, drift = { rows = 20.5 } }"
    found = problems(write(STORE + f'[models.m]\nservice = "a@1"\ntarget = "b"\ntrainer = "shelf"\n{gates}'), plugins)
    assert "gates.smoke: unknown option 'rwos'. Did you mean 'rows'?" in found
    assert "gates.baseline: min_gain is True. Give a number." in found
    assert "gates.drift: rows is 20.5. Give a whole number." in found
    assert 'artifact is 3. Give false, true, "warn", or a table' in found


@pytest.mark.parametrize(
    ("gates", "told"),
    [
        ('{ slices = "worn" }', "gates.slices: level is 'worn'. Did you mean 'warn'?"),
        ("{ slices = { level = 3 } }", 'gates.slices: level is 3. Give "refuse" or "warn".'),
        ('{ slices = { by = "area" } }', "gates.slices: by is 'area'. Give a list of texts."),
        ("{ slices = { by = [3] } }", "gates.slices: by is [3]. Give a list of texts."),
        ("{ cases = { file = 3 } }", "gates.cases: file is 3. Give a text."),
        ("{ direction = { inputs = 3 } }", "gates.direction: inputs is 3. Give a table."),
        ("{ direction = { inputs = { area = 2 } } }", "area is 2. Give 1 where the answer must not fall as it grows"),
        ("{ direction = { inputs = { aera = 1 } } }", "valuation@1 has no number 'aera'. Did you mean 'area'?"),
        ('{ drift = { ignore = ["aera"] } }', "valuation@1 has no column 'aera'. Did you mean 'area'?"),
        ('{ slices = { by = ["listing"] } }', "valuation@1 has no column 'listing'. Did you mean 'listing_id'?"),
    ],
)
def test_levels_and_columns_of_gates_are_checked(write: Write, plugins: Plugins, gates: str, told: str) -> None:
    text = STORE + f'[models.m]\nservice = "valuation@1"\ntarget = "b"\ntrainer = "shelf"\ngates = {gates}'
    assert told in problems(write(text), plugins, DEFINITIONS)


def test_every_gate_that_can_be_set_is_there() -> None:
    from stackwright.assembly.gate_options import GATE_OPTIONS
    from stackwright.workflows.gates import GATES

    assert set(GATES) == set(GATE_OPTIONS)


def test_values_that_an_adapter_refuses_are_told_before_it_is_built(write: Write) -> None:
    path = write('name = "a"\n[server]\nadapter = "uvicorn"\nworkers = 0\n')
    with pytest.raises(BlueprintProblems, match=r"\[server\]: the options are refused \(workers is 0"):
        plan(read(path), Plugins(), Definitions())


def test_a_secret_is_not_read_to_check_the_options_beside_it(write: Write) -> None:
    text = '[feature_store]\nonline = { adapter = "redis", url = { env = "NO_SUCH_SECRET" }, timeout = 1.0 }'
    found = plan(read(write(f'name = "a"\n{text}')), Plugins(), Definitions())
    assert found.choices["online"].spec.name == "redis"
