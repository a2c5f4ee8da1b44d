/* version.h - what --version prints: the programs' version, the level of the kernels and
 * those that this processor has (common/kernel/level.h), the libraries built in. */
#ifndef MODEL_VERSION_H
#define MODEL_VERSION_H

#define PROJECT_VERSION "0.1.0"

/* Prints them to stdout. */
void version_print(void);

#endif
