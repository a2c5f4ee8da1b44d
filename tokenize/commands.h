/* commands.h - the commands of `tokenize`, one file each. A command parses its own arguments
 * (argv[0] is its name), ends the program when it fails, and returns the exit code: 0, or 75 when
 * it was stopped and can go on.
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
