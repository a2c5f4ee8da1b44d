/* commands.h - the commands of `vqvae`: each takes its own arguments (argv[0] is its name) and returns the exit code. */
#ifndef VQVAE_COMMANDS_H
#define VQVAE_COMMANDS_H

int cmd_train(int argc, char **argv);
int cmd_eval(int argc, char **argv);
int cmd_reconstruct(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_trace(int argc, char **argv);

#endif
