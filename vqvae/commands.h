/* commands.h - the commands of `vqvae`, one file each. A command parses its own arguments (argv[0]
 * is its name), says what it did on stdout, dies for faults of the user or the world, and returns
 * the exit code.
 */
#ifndef VQVAE_COMMANDS_H
#define VQVAE_COMMANDS_H

/* Trains a tokenizer into a RUN. */
int cmd_vqvae_train(int argc, char **argv);
/* Measures a RUN on images. */
int cmd_vqvae_eval(int argc, char **argv);
/* Writes images beside their reconstructions. */
int cmd_vqvae_reconstruct(int argc, char **argv);
/* Turns other people's weights into a RUN. */
int cmd_vqvae_import(int argc, char **argv);
/* Writes a RUN as an HTML page. */
int cmd_vqvae_report(int argc, char **argv);
/* Says what RUNs are. */
int cmd_vqvae_info(int argc, char **argv);
/* Writes intermediate values for comparison. */
int cmd_vqvae_trace(int argc, char **argv);

#endif
