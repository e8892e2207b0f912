"""``[monitor]``: what may be written there, and what is told of mistakes, all at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stackwright.assembly.blueprint import Blueprint, BlueprintProblems, read
from stackwright.assembly.monitor_check import check
from stackwright.assembly.monitor_part import KINDS, METRICS, OF_LISTS, OF_ROWS
from stackwright.assembly.secrets import Secret
from stackwright_interfaces.definitions import Definitions, Entity, FeatureService, FeatureView, Target
from stackwright_interfaces.types import FLOAT64, INT64, Field
from stackwright_journal import alert_rules, list_rules, verdicts

Write = Callable[[str], Path]

WHOLE = """
name = "avm"
[monitor]
window = 30
parity = 50

[monitor.destinations.ops]
kind = "slack"
url = { env = "SLACK_URL" }

[monitor.destinations.team]
kind = "email"
host = "mail.example.org"
sender = "ml@example.org"
to = ["team@example.org"]
password = { file = "mail.secret" }

[monitor.rules.error]
watch = "signed_median_error"
limit = 0.1
by = ["district"]
against = "previous"
action = "rollback"
windows = 3
notify = ["ops"]

[monitor.rules.drift]
watch = "psi"
against = 0.5

[monitor.experiments.price]
goal = "mean:days_to_sale"
better = "lower"
guardrails = { mdape = 0.01, fallbacks = 0.02 }
shares = { live = 0.9, canary = 0.1 }
"""


def problems(path: Path) -> list[str]:
    with pytest.raises(BlueprintProblems) as caught:
        read(path)
    return [str(problem) for problem in caught.value.problems]


def test_rules_destinations_and_experiments_are_read(write: Write) -> None:
    monitor = read(write(WHOLE)).monitor
    assert (monitor.window, monitor.parity) == (30.0, 50)
    error = monitor.rules["error"]
    assert (error.limit, error.by, error.against, error.action) == (0.1, ("district",), "previous", "rollback")
    assert monitor.rules["drift"].against == 0.5
    assert monitor.destinations["ops"].url == Secret(env="SLACK_URL")
    assert monitor.destinations["team"].to == ("team@example.org",)
    assert monitor.experiments["price"].guardrails == {"mdape": 0.01, "fallbacks": 0.02}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[monitor.rules.a]\nwatch = "mdap"', "monitor.rules.a]: watch is 'mdap'. Did you mean 'mdape'?"),
        ("[monitor.rules.a]", "monitor.rules.a]: watch is missing"),
        ('[monitor.rules.a]\nwatch = "auc"\nactoin = "retrain"', "unknown key 'actoin'. Did you mean 'action'?"),
        ('[monitor.rules.a]\nwatch = "auc"\naction = "retrian"', "action is 'retrian'. Did you mean 'retrain'?"),
        ('[monitor.rules.a]\nwatch = "auc"\nagainst = "yesterday"', "against is 'yesterday'"),
        (
            '[monitor.rules.a]\nwatch = "auc"\nnotify = ["ops"]',
            "which is no destination. Add [monitor.destinations.ops]",
        ),
        ('[monitor.rules.a]\nwatch = "auc"\nwindows = 0', "windows is 0"),
        ('[monitor.rules.a]\nwatch = "auc"\nby = "zip"', "by is 'zip', a str"),
        ("[monitor.rules]\na = 3", "monitor] rules.a: is 3. Write a table."),
        ('[monitor.rules."a b"]\nwatch = "auc"', "'a b' is not a usable name"),
        ("[monitor.destinations.a]", "kind is missing"),
        ('[monitor.destinations.a]\nkind = "slack"', "a slack needs url"),
        ('[monitor.destinations.a]\nkind = "email"\nhost = "h"', "a email needs sender"),
        ('[monitor.destinations.a]\nkind = "pigeon"', "kind is 'pigeon'. Choose from: log, webhook, slack, email."),
        ('[monitor.experiments.a]\ngoal = "ppe99"', "'ppe99' is no metric"),
        ('[monitor.experiments.a]\ngoal = "mean:x"', "nothing says what is better"),
        ('[monitor.experiments.a]\ngoal = "auc"\narms = ["live"]', "Name the arm to hold others against"),
        ('[monitor.experiments.a]\ngoal = "auc"\nshares = { live = "half" }', "live is 'half'. Give a number."),
        ('[monitor.experiments.a]\ngoal = "auc"\nguardrails = { ece = -1 }', "how much worse it may become: 0 or more"),
        (
            '[monitor.experiments.a]\ngoal = "mean:x"\nbetter = "higher"\narms = ["live", "shadow"]',
            "whose answers nobody sees: they cannot change mean:x",
        ),
        ("[monitor]\nwindow = 0", "window is 0"),
    ],
)
def test_a_mistake_is_named_with_what_to_do(write: Write, text: str, said: str) -> None:
    assert any(said in problem for problem in problems(write(f'name = "avm"\n{text}')))


def blueprint(write: Write, text: str) -> Blueprint:
    return read(write(f'name = "avm"\n{text}'))


def definitions() -> Definitions:
    home = Entity(name="home", keys=(Field("home_id", INT64),))
    homes = FeatureView(name="homes", entity=home, fields=(Field("area", FLOAT64),))
    service = FeatureService(name="valuation", version=1, selections=(homes.select(),))
    target = Target(name="sale_price", entity=home, value=Field("price", FLOAT64))
    return Definitions(entities=(home,), views=(homes,), services=(service,), targets=(target,))


def test_names_of_models_features_and_targets_are_checked_against_what_is_applied(write: Write) -> None:
    monitor = blueprint(
        write,
        """
        [monitor.rules.a]
        watch = "psi"
        columns = ["aera", "prediction"]
        models = ["valuatoin"]
        [monitor.rules.b]
        watch = "mdape"
        by = ["zip"]
        [monitor.experiments.c]
        goal = "mean:sale_prise"
        better = "higher"
        model = "valuation"
        """,
    ).monitor
    found = [str(problem) for problem in check(monitor, {"valuation": "valuation@1"}, (), definitions())]
    assert len(found) == 3
    assert "no model 'valuatoin'. Did you mean 'valuation'?" in found[0]
    assert "no feature 'zip'" in found[1]
    assert "no target 'sale_prise'. Did you mean 'sale_price'?" in found[2]
    assert len(list(check(monitor, {"valuation": "valuation@1"}, (), Definitions()))) == 1, "nothing is applied yet"


def test_what_a_blueprint_may_watch_is_what_the_journal_can_judge() -> None:
    usual = {name for rules in verdicts.RULES.values() for name in rules} | set(verdicts.MORE_RULES)
    assert set(METRICS) == usual
    assert set(OF_ROWS) == {*alert_rules.WATCHED, *usual}
    assert set(OF_LISTS) == set(list_rules.WATCHED)
    assert KINDS == verdicts.KINDS


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ('watch = "mdape"', "watch is 'mdape', which lists do not have, and 'homes' is a recommender"),
        ('watch = "ctr"\nagainst = "training"', "lists are not held against 'training'"),
        ('watch = "ctr"\nby = ["area"]', "by is given, and lists have no columns"),
        ('watch = "ndcg"\nbasis = "estimated"', "lists have no truths to estimate"),
        ('watch = "ctr"\nmodels = ["valuation"]', "watch is 'ctr', which predictions do not have, and 'valuation'"),
        ('watch = "ndcg"\nagainst = "start"\nmodels = ["valuation"]', "predictions are not held against 'start'"),
    ],
)
def test_a_rule_that_cannot_judge_what_it_is_for_is_named(write: Write, rule: str, said: str) -> None:
    monitor = blueprint(write, f"[monitor.rules.a]\n{rule}").monitor
    models = {"valuation": ""} if "models" in rule else {}
    (problem,) = check(monitor, models, ["homes"], Definitions())
    assert said in str(problem)


def test_a_rule_for_all_needs_but_one_that_it_fits(write: Write) -> None:
    monitor = blueprint(write, '[monitor.rules.a]\nwatch = "ctr"\n[monitor.rules.b]\nwatch = "mdape"').monitor
    assert list(check(monitor, {"valuation": ""}, ["homes"], Definitions())) == []


def test_an_experiment_of_a_recommender_is_named(write: Write) -> None:
    monitor = blueprint(write, '[monitor.experiments.a]\ngoal = "ndcg"\nmodel = "homes"').monitor
    (problem,) = check(monitor, {}, ["homes"], Definitions())
    assert "'homes' is a recommender" in str(problem)


def test_the_journal_may_be_a_secret_address(write: Write) -> None:
    assert blueprint(write, '[journal]\npath = { env = "JOURNAL" }').journal == Secret(env="JOURNAL")
    assert blueprint(write, '[journal]\npath = "s3://b/j"').journal == "s3://b/j"
    assert any("path is 3" in problem for problem in problems(write('name = "avm"\n[journal]\npath = 3')))
