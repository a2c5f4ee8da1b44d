/* record.h - `gato record`: plays episodes and writes them as a Minari dataset. */
#ifndef GATO_RECORD_H
#define GATO_RECORD_H

int cmd_record(int argc, char **argv);

#endif
