# What the jobs of this folder work on. Every machine must see these paths, and have bpe-lm in its PATH.

WORK=$PWD/work          # where everything is written
TEXTS=$PWD/texts.list   # the files of the corpus, one absolute path a line, always in this order
SHARDS=64               # the tasks of each array
VOCAB_SIZE=32000        # the tokens of the tokenizer
SPLIT=(--special-token '<|endoftext|>' --pattern gpt2) # how texts become pretokens

mapfile -t texts < "$TEXTS"

# The name of a task's output: by its number, so that names sort as shards do.
part() { printf '%s/%s/%07d%s' "$WORK" "$1" "$SLURM_ARRAY_TASK_ID" "$2"; }

# Ends the job unless each shard has its file.
all_of() {
    local files=("$@")
    [[ ${#files[@]} -eq $SHARDS && -e ${files[0]} ]] || {
        echo "there are ${#files[@]} of $SHARDS parts: submit the missing numbers of the array again" >&2
        exit 1
    }
}
