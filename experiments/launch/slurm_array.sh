#!/bin/bash
# An experiment dealt over the tasks of a SLURM array, one part each, without collectives:
#
#   sbatch --array=1-16 experiments/launch/slurm_array.sh runs/probe 16 \
#       python -m experiments.probe FEATURES.npz
#
# When all tasks have ended, `python -m experiments.probe --merge runs/probe` makes the
# page, or names the parts that are lost, here 5 and 7; run those again with --array=5,7
# in the same command. A task that was killed or requeued goes on where it was.
#
#SBATCH --job-name=jaxlin
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --output=%x-%A-%a.log
set -euo pipefail

run=$1 parts=$2
shift 2
# Not SLURM_ARRAY_TASK_COUNT: an array of the lost tasks has fewer.
exec "$@" --out "$run" --part "$SLURM_ARRAY_TASK_ID/$parts"
