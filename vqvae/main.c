/* main.c - vqvae: pretrains image tokenizers. */
#include "common/base/cli.h"
#include "common/kernel/level.h"
#include "common/model/version.h"
#include "vqvae/commands.h"

int main(int argc, char **argv) {
    static const cli_command_t commands[] = {
        {"train", "pretrain (or fine-tune) a tokenizer on images", cmd_vqvae_train},
        {"eval", "PSNR, SSIM and use of the codebook", cmd_vqvae_eval},
        {"reconstruct", "originals beside reconstructions, as PNG files", cmd_vqvae_reconstruct},
        {"import", "other people's tokenizers: VQGANs of taming-transformers and diffusers, SEED",
         cmd_vqvae_import},
        {"report", "a RUN as one HTML page: curves, images, codebook, configuration",
         cmd_vqvae_report},
        {"info", "what a RUN is", cmd_vqvae_info},
        {"trace", "intermediate values, to compare with another framework", cmd_vqvae_trace},
        {0},
    };
    die_set_program("vqvae");
    kern_level_from_environment_or_die();
    return cli_main(argc, argv, "vqvae",
                    "pretrain image tokenizers (VQVAE) on folders of images and recorded episodes",
                    commands, version_print);
}
