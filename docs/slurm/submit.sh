#!/bin/bash
# Submits the four jobs, each after the one before it has succeeded. Run it in the folder of these files.
set -euo pipefail
source ./corpus.sh

array=0-$((SHARDS - 1))
count=$(sbatch --parsable --array="$array" count.sbatch)
train=$(sbatch --parsable --dependency="afterok:$count" train.sbatch)
encode=$(sbatch --parsable --dependency="afterok:$train" --array="$array" encode.sbatch)
sbatch --parsable --dependency="afterok:$encode" join.sbatch
