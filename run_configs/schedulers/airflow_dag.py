"""Airflow DAGs: one night is one run id, so retries, catch-up and `airflow backfill create` are the same command.

`embed_images_local` runs the pipeline on the Airflow worker, `embed_images_dataflow` launches the Flex Template. Put
this file into the DAGs folder; it needs apache-airflow-providers-apache-beam and apache-airflow-providers-google.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.apache.beam.operators.beam import BeamRunPythonPipelineOperator
from airflow.providers.google.cloud.operators.dataflow import DataflowStartFlexTemplateOperator
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

HOME = "/opt/embed-images"
PROJECT, REGION, BUCKET = "my-project", "europe-west4", "gs://bucket"
# A night is named after its beginning and sees what was updated before its end, so that nights of the past can be
# made again in order.
OPTIONS = {
    "config": f"{HOME}/run_configs/backfill.yaml",
    "input": f"{BUCKET}/photos",
    "output": f"{BUCKET}/features",
    "run_id": "night-{{ data_interval_start.strftime('%Y-%m-%d') }}",
    "until": "{{ data_interval_end.isoformat() }}",
}
NIGHTLY = {
    "schedule": CronDataIntervalTimetable("30 2 * * *", timezone="UTC"),
    "start_date": pendulum.datetime(2026, 1, 1, tz="UTC"),
    "catchup": True,
    "max_active_runs": 1,  # in order: a night takes what the nights before have left
    "default_args": {"retries": 3, "retry_delay": timedelta(minutes=10)},
}

with DAG(dag_id="embed_images_local", description="Embeds what is new, on this machine", **NIGHTLY):
    embed = BeamRunPythonPipelineOperator(
        task_id="embed",
        runner="DirectRunner",
        py_file=f"{HOME}/run_configs/dataflow/main.py",
        py_interpreter=f"{HOME}/.venv/bin/python",
        py_options=[],
        pipeline_options=OPTIONS,
    )
    verify = BashOperator(
        task_id="verify",
        bash_command=f"{HOME}/.venv/bin/embed-images verify {OPTIONS['output']} --run_id {OPTIONS['run_id']}",
    )
    _ = embed >> verify

with DAG(dag_id="embed_images_dataflow", description="Embeds what is new, on Dataflow", **NIGHTLY):
    DataflowStartFlexTemplateOperator(
        task_id="embed",
        project_id=PROJECT,
        location=REGION,
        body={
            "launchParameter": {
                "jobName": "embed-images-{{ data_interval_start.strftime('%Y%m%d') }}",
                "containerSpecGcsPath": f"{BUCKET}/templates/embed-images.json",
                "parameters": {
                    "incremental": "true",
                    "engine": "litert",
                    **{name: value for name, value in OPTIONS.items() if name != "config"},
                },
                "environment": {"tempLocation": f"{BUCKET}/temp"},
            }
        },
    )
