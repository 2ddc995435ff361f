#!/bin/bash
# One study on N nodes of a SLURM cluster: sbatch deploy/slurm.sh
# Edit the lines marked EDIT. Before preemption or the time limit the study is stopped cleanly and the job
# queued again; it goes on from its last checkpoints.
#SBATCH --job-name=usplit
#SBATCH --nodes=2                   # EDIT
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16          # EDIT: of each node
#SBATCH --gpus-per-node=4           # EDIT
#SBATCH --time=24:00:00             # EDIT
#SBATCH --exclusive                 # `ray stop` at the end would end another job's Ray on a shared node
#SBATCH --requeue
#SBATCH --signal=B:TERM@180         # three minutes to stop cleanly
#SBATCH --open-mode=append
#SBATCH --output=usplit-%j.log
set -euo pipefail

: "${STUDY:=quickstart}"                              # EDIT: the study's name,
: "${SPACE:=search_spaces/quickstart.py}"             # its file,
: "${STORE:=/shared/usplit_store}"                    # and a store that all nodes see
: "${ENVIRONMENT:=/shared/usplit/venv}"               # EDIT: the Python environment, seen by all nodes
PATH="$ENVIRONMENT/bin:$PATH"

# A token of this job alone, in a file that only its owner reads: a port of Ray without one runs anybody's code.
umask 077
mkdir -p "$HOME/.ray"
export RAY_AUTH_MODE=token
export RAY_AUTH_TOKEN_PATH="$HOME/.ray/slurm-$SLURM_JOB_ID"
od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > "$RAY_AUTH_TOKEN_PATH"
trap 'rm -f "$RAY_AUTH_TOKEN_PATH"' EXIT

export RAY_USAGE_STATS_ENABLED=0
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300
hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
head="${hosts%%$'\n'*}:$((20000 + SLURM_JOB_ID % 10000))"

stopped=no
# Invoked by the trap below.
# shellcheck disable=SC2317
stop() {
    stopped=yes
    echo "asked to end: stopping study $STUDY"
    usplit stop "$STUDY" --store "$STORE" || echo "the study was not running yet, or did not stop in time"
}
trap stop TERM

# The first node starts Ray's head and the study, the others join. They notice a minute late that the head has
# ended, so SLURM ends them.
srun --wait=20 --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --cpus-per-task="$SLURM_CPUS_PER_TASK" \
    ray symmetric-run --address "$head" --min-nodes "$SLURM_JOB_NUM_NODES" \
    --num-cpus="$SLURM_CPUS_PER_TASK" -- \
    usplit run "$SPACE" --store "$STORE" --address "$head" &
step=$!

# A signal interrupts the first wait; the second is for the end of the step.
code=0
wait "$step" || code=$?
if [ "$stopped" = yes ]; then
    wait "$step" || code=$?
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
fi
exit "$code"
