/* commands.h - the commands of `vqvae`: each takes its own arguments (argv[0] is its name) and
 * returns the exit code.
 */
#ifndef VQVAE_COMMANDS_H
#define VQVAE_COMMANDS_H

int cmd_vqvae_train(int argc, char **argv);
int cmd_vqvae_eval(int argc, char **argv);
int cmd_vqvae_reconstruct(int argc, char **argv);
int cmd_vqvae_import(int argc, char **argv);
int cmd_vqvae_report(int argc, char **argv);
int cmd_vqvae_info(int argc, char **argv);
int cmd_vqvae_trace(int argc, char **argv);

#endif
