# gato_common.sh - what the scripts tests/cli/gato_*.sh share; sourced by them behind vqvae_common.sh or tokenize_common.sh.
. "$top/pipelines/json.sh"

# Words behind `gato` in does and refuses: a script of one subcommand sets them.
always=

# does NAME ARGUMENTS...: gato leaves with 0; what it says is in out and err.
does() {
    name=$1
    shift
    # shellcheck disable=SC2086
    gato $always "$@" >out 2>err
    verdict $? "$name: gato $always $*"
}
# runs NAME COMMAND...: any command does.
runs() {
    name=$1
    shift
    "$@" >out 2>err
    verdict $? "$name: $*"
}
# refuses STATUS PATTERN ARGUMENTS...: gato leaves with STATUS, says PATTERN on stderr and nothing on stdout.
refuses() {
    want=$1 pattern=$2
    shift 2
    # shellcheck disable=SC2086
    gato $always "$@" >out 2>err
    rc=$?
    [ "$rc" -eq "$want" ] && grep -q -e "$pattern" err && [ ! -s out ]
    verdict $? "gato $always $*: status $rc, wanted $want and '$pattern'"
}

# A tokenizer of 16 x 16 images with 16 codes, hardly trained.
cat >vq.json <<'Y'
{"model": {"block_out_channels": [8, 8, 8], "latent_channels": 8, "vq_embed_dim": 4, "num_vq_embeddings": 16, "norm_num_groups": 2},
 "train": {"steps": 3, "batch": 2, "warmup_no_quant": 1}, "data": {"size": [16, 16]}}
Y
