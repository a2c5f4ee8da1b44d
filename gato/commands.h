/* commands.h - the commands of `gato` that have no header of their own: each takes its own
 * arguments (argv[0] is its name) and returns the exit code. */
#ifndef GATO_COMMANDS_H
#define GATO_COMMANDS_H

int cmd_gato_train(int argc, char **argv);
int cmd_gato_eval(int argc, char **argv);
int cmd_gato_act(int argc, char **argv);

#endif
