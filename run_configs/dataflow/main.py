"""`embed-images run` as a file of its own, for launchers that want one: Flex Templates, Airflow's Beam operator."""

import sys

from pipeline.cli import program

if __name__ == "__main__":
    sys.argv[1:1] = ["run"]
    program()
