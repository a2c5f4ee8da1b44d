/* commands.h - the commands of `tokenize`: each takes its own arguments (argv[0] is its name) and
 * returns the exit code.
 */
#ifndef TOKENIZE_COMMANDS_H
#define TOKENIZE_COMMANDS_H

int cmd_images(int argc, char **argv);
int cmd_episodes(int argc, char **argv);
int cmd_decode(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_dump(int argc, char **argv);
int cmd_merge(int argc, char **argv);
int cmd_text(int argc, char **argv);

#endif
