"""The SLURM script against stand-ins for srun, scontrol, ray and usplit: what it starts, and how it ends."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent.parent / "deploy" / "slurm.sh"

STAND_INS = {
    # Starts the command once a node, as SLURM does, and returns the highest exit code.
    "srun": """
while [[ $1 == --* ]]; do shift; done
code=0
for node in $NODES; do NODE=$node "$@" & pids+=($!); done
for pid in "${pids[@]}"; do wait "$pid" || code=$?; done
exit $code
""",
    "scontrol": """
echo "scontrol $*" >> "$RECORD"
if [ "$1" = show ]; then tr ' ' '\\n' <<< "$NODES"; fi
""",
    # As `ray symmetric-run`: the node of the address runs what stands behind the two hyphens.
    "ray": """
stat -c "token %a" "$RAY_AUTH_TOKEN_PATH" >> "$RECORD"
echo "ray on $NODE with RAY_AUTH_MODE=$RAY_AUTH_MODE: $*" >> "$RECORD"
[ "$3" = "$NODE:20042" ] || exit 0
while [ "$1" != -- ]; do shift; done
shift
"$@"
""",
    "usplit": """
echo "usplit $*" >> "$RECORD"
case "$1" in
    run) for _ in $(seq "$STEPS"); do [ -e "$STORE/stop" ] && exit 130; sleep 0.1; done; exit "$RESULT";;
    stop) touch "$STORE/stop";;
esac
""",
}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a batch script on two nodes, with stand-ins on the path."""
    folder = tmp_path / "venv" / "bin"
    folder.mkdir(parents=True)
    for name, text in STAND_INS.items():
        (folder / name).write_text(f"#!/bin/bash\n{text}")
        (folder / name).chmod(0o755)
    (tmp_path / "store").mkdir()
    slurm = {"JOB_ID": "42", "JOB_NODELIST": "node[1-2]", "JOB_NUM_NODES": "2", "CPUS_PER_TASK": "4"}
    return {
        **os.environ,
        **{f"SLURM_{name}": value for name, value in slurm.items()},
        "HOME": str(tmp_path),
        "ENVIRONMENT": str(tmp_path / "venv"),
        "STORE": str(tmp_path / "store"),
        "RECORD": str(tmp_path / "record"),
        "NODES": "node1 node2",
        "STEPS": "2",
        "RESULT": "0",
    }


def record(environment: dict[str, str]) -> list[str]:
    return Path(environment["RECORD"]).read_text().splitlines()


def test_the_first_node_runs_the_study_and_the_others_join(environment: dict[str, str]) -> None:
    done = subprocess.run([SCRIPT], env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    lines = record(environment)
    start = "symmetric-run --address node1:20042 --min-nodes 2 --num-cpus=4"
    assert sum(start in line and "RAY_AUTH_MODE=token" in line for line in lines) == 2
    studies = [line for line in lines if line.startswith("usplit")]
    store = environment["STORE"]
    assert studies == [f"usplit run search_spaces/quickstart.py --store {store} --address node1:20042"]
    assert not any("requeue" in line for line in lines)


def test_the_token_is_its_owners_alone_and_goes_with_the_job(environment: dict[str, str]) -> None:
    subprocess.run([SCRIPT], env=environment, capture_output=True, timeout=30, check=True)
    assert record(environment).count("token 600") == 2
    assert list(Path(environment["HOME"], ".ray").iterdir()) == []


def test_a_failed_study_fails_the_job(environment: dict[str, str]) -> None:
    done = subprocess.run([SCRIPT], env={**environment, "RESULT": "1"}, capture_output=True, timeout=30, check=False)
    assert done.returncode == 1
    assert not any("requeue" in line for line in record(environment))


def test_before_preemption_the_study_is_stopped_and_the_job_queued_again(environment: dict[str, str]) -> None:
    with subprocess.Popen([SCRIPT], env={**environment, "STEPS": "200"}, stdout=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 20
        while not (Path(environment["RECORD"]).exists() and any("usplit run" in line for line in record(environment))):
            assert time.monotonic() < deadline
            time.sleep(0.05)  # the script tells nobody how far it is
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 0, output
    lines = record(environment)
    assert f"usplit stop quickstart --store {environment['STORE']}" in lines
    assert lines[-1] == "scontrol requeue 42"


def test_bash_reads_the_script_without_complaint() -> None:
    subprocess.run(["bash", "-n", SCRIPT], check=True)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing() -> None:
    done = subprocess.run(["shellcheck", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
