"""Two DAGs of Airflow 3: the night's valuations, and the week's model. Every task is one verb."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

START = datetime(2026, 1, 1, tzinfo=UTC)
PROJECT = "/srv/valuations"
RETRIED = {"retries": 3, "retry_delay": timedelta(minutes=5)}


def verb(name: str, command: str) -> BashOperator:
    """Return a task that runs a verb in the project; a red check or gate is an exit code other than 0."""
    return BashOperator(task_id=name, bash_command=f"stackwright {command} --project {PROJECT}")


with DAG("valuations_nightly", schedule="30 0 * * *", start_date=START, catchup=True, default_args=RETRIED):
    # The instant is the interval's: a night that is run again, or caught up with, asks for what was true then.
    asked = "{{ data_interval_end.isoformat() }}"
    verb("ingest", "ingest listing env:LISTINGS") >> verb("score", f"job nightly --at {asked}")

with DAG("valuations_weekly", schedule="0 5 * * 0", start_date=START, catchup=False):
    train, promote = verb("train", "train valuation"), verb("promote", "promote valuation")
    stage, verify = verb("stage", "deploy staging"), verb("verify", "verify --record --env staging")
    train >> promote >> stage >> verify >> verb("release", "deploy production") >> verb("report", "report valuation")
