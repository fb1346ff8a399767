"""The example of run_configs/schedulers/ for Airflow, read by Airflow; in an environment of its own.

Run by `make test-schedulers`, not by pytest.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pendulum
from airflow.dag_processing.dagbag import DagBag
from airflow.timetables.base import DataInterval, TimeRestriction

EXAMPLES = Path(__file__).parents[2] / "run_configs" / "schedulers"
NIGHTS = 3


def check_airflow() -> None:
    """No import error; one run of the DAG a night, of the run id and window of that night, without a gap."""
    bag = DagBag(EXAMPLES / "airflow_dag.py")
    assert bag.import_errors == {}, bag.import_errors
    assert sorted(bag.dags) == ["embed_images_dataflow", "embed_images_local"], bag.dags
    for dag in bag.dags.values():
        options = options_of(dag.get_task("embed"))
        windows = first_windows(dag)
        rendered = [rendered_options(dag, options, window) for window in windows]
        assert [each["run_id"] for each in rendered] == ["night-2026-01-01", "night-2026-01-02", "night-2026-01-03"]
        assert [each["until"] for each in rendered] == [f"2026-01-0{day}T02:30:00+00:00" for day in (2, 3, 4)]
        assert dag.max_active_runs == 1
        print(f"{dag.dag_id}: no import errors, nights {', '.join(each['run_id'] for each in rendered)}")


def first_windows(dag: object) -> list[DataInterval]:
    """The data intervals of a DAG's first runs, when it catches up."""
    windows: list[DataInterval] = []
    for _ in range(NIGHTS):
        info = dag.timetable.next_dagrun_info(  # type: ignore[attr-defined]
            last_automated_data_interval=windows[-1] if windows else None,
            restriction=TimeRestriction(pendulum.datetime(2026, 1, 1, tz="UTC"), None, catchup=True),
        )
        windows.append(info.data_interval)
    return windows


def options_of(task: object) -> dict[str, str]:
    body = getattr(task, "body", None)
    options: dict[str, str] = body["launchParameter"]["parameters"] if body else task.pipeline_options  # type: ignore[attr-defined]
    return options


def rendered_options(dag: object, options: dict[str, str], window: DataInterval) -> dict[str, str]:
    environment = dag.get_template_env()  # type: ignore[attr-defined]
    context = {"data_interval_start": window.start, "data_interval_end": window.end}
    return {name: environment.from_string(value).render(context) for name, value in options.items()}


if __name__ == "__main__":
    logging.disable(logging.INFO)
    check_airflow()
    sys.exit(0)
