/* commands.h - the subcommands of `gato` without a header of their own. Each takes its arguments
 * (argv[0] is its name) and returns the exit code. */
#ifndef GATO_COMMANDS_H
#define GATO_COMMANDS_H

int cmd_gato_train(int argc, char **argv);
int cmd_gato_eval(int argc, char **argv);
int cmd_gato_act(int argc, char **argv);
int cmd_gato_chart(int argc, char **argv);
int cmd_gato_compare(int argc, char **argv);
int cmd_gato_merge(int argc, char **argv);
int cmd_gato_import(int argc, char **argv);
int cmd_gato_caption(int argc, char **argv);
int cmd_gato_answer(int argc, char **argv);
int cmd_gato_imagine(int argc, char **argv);
int cmd_gato_info(int argc, char **argv);
int cmd_gato_report(int argc, char **argv);
int cmd_gato_adapter(int argc, char **argv);
int cmd_gato_bench(int argc, char **argv);
int cmd_gato_trace(int argc, char **argv);

#endif
