"""Starts a Flink cluster on loopback, ends it, says where Beam's job server is: what targets of the Makefile call."""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
from pathlib import Path

from tests.integration.runners.flink_cluster import Cluster


def job_server_jar() -> Path:
    """Beam's job server: what `FLINK_JOB_SERVER_JAR` names, else the released one of this version of Beam.

    Raises:
        FileNotFoundError: it cannot be had.
    """
    from apache_beam.utils.subprocess_server import JavaJarServer

    if named := os.environ.get("FLINK_JOB_SERVER_JAR"):
        return Path(named).resolve(strict=True)
    url = JavaJarServer.path_to_beam_jar(":runners:flink:1.20:job-server:shadowJar")
    logging.disable(logging.WARNING)
    try:
        return Path(JavaJarServer.local_jar(url))
    except Exception as e:  # of networks and servers, and Beam's own
        name = url.rpartition("/")[2]
        raise FileNotFoundError(f"{name} cannot be fetched; FLINK_JOB_SERVER_JAR may name such a jar") from e
    finally:
        logging.disable(logging.NOTSET)


def main() -> None:
    parser = argparse.ArgumentParser(prog="flink_command", description="A Flink cluster on loopback.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("jar", help="prints where Beam's job server is, fetched where it is not named")
    up = commands.add_parser("up", help="starts a cluster, in the place of one that is there")
    down = commands.add_parser("down", help="ends it")
    for each in (up, down):
        each.add_argument("folder", type=Path, help="where it writes")
    up.add_argument("--flink", type=Path, required=True, help="the folder of Flink's jars")
    up.add_argument("--task_managers", type=int, default=2)
    up.add_argument("--slots", type=int, default=1, help="of each task manager")
    given = parser.parse_args()
    try:
        if given.command == "jar":
            print(job_server_jar())
        elif given.command == "up":
            start(Cluster(given.folder.absolute(), given.flink, slots=given.slots), given.task_managers)
        else:
            clear(given.folder)
    except (OSError, TimeoutError) as e:
        sys.exit(f"flink_command: {e}")


def start(cluster: Cluster, task_managers: int) -> None:
    jar = job_server_jar()
    clear(cluster.folder)
    try:
        cluster.start(task_managers)
        cluster.start_job_server(jar)
    except BaseException:
        cluster.stop()
        raise
    print(f"Flink {cluster.ask('overview')['flink-version']}: http://localhost:{cluster.ports.rest}")
    print(f"its job server: localhost:{cluster.ports.job}; logs in {cluster.folder / 'logs'}")


def clear(folder: Path) -> None:
    """Ends the cluster that writes to a folder, and removes what it wrote."""
    if (folder / "cluster.json").exists():
        cluster = Cluster(folder, Path())
        cluster.load()
        cluster.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
