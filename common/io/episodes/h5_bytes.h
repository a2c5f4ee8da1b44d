/* h5_bytes.h - private to h5_write: little-endian bytes in memory, and the frames of HDF5's object
 * headers (HDF5 File Format Specification 3.0, IV.A). */
#ifndef IO_EPISODES_H5_BYTES_H
#define IO_EPISODES_H5_BYTES_H

#include "common/io/episodes/h5_write.h"
#include <string.h>

#define H5B_NOWHERE UINT64_MAX /* the undefined address */

/* Kinds of messages (IV.A.2). */
enum {
    H5B_DATASPACE = 0x01,
    H5B_LINK_INFO = 0x02,
    H5B_DATATYPE = 0x03,
    H5B_FILL = 0x05,
    H5B_LINK = 0x06,
    H5B_LAYOUT = 0x08,
    H5B_GROUP_INFO = 0x0a,
    H5B_FILTERS = 0x0b,
    H5B_ATTRIBUTE = 0x0c,
    H5B_CONTINUATION = 0x10
};
/* Bytes before the messages of an object header and of a continuation block, and behind them, as
 * they are written here. */
enum { H5B_HEADER = 10, H5B_BLOCK = 4, H5B_CHECKSUM = 4, H5B_MESSAGE = 4 };

void h5b_put(h5w_bytes_t *b, const void *bytes, size_t n);
void h5b_zeros(h5w_bytes_t *b, size_t n);
/* The low n bytes of v, lowest first. */
void h5b_int(h5w_bytes_t *b, uint64_t v, size_t n);
uint64_t h5b_get(const uint8_t *p, size_t n);
/* Begins a message; h5b_message_end sets its size. Returns where it begins. */
size_t h5b_message(h5w_bytes_t *b, int kind, int flags);
void h5b_message_end(h5w_bytes_t *b, size_t begin);
/* The description of a type, without its message's head. */
void h5b_datatype(h5w_bytes_t *b, h5w_type_t type);
/* Jenkins' lookup3 (hashlittle), HDF5's checksum of metadata. */
uint32_t h5b_checksum(const uint8_t *v, size_t n);
/* Appends the checksum of all that is in b. */
void h5b_seal(h5w_bytes_t *b);
/* An object header with these messages at the file's end; returns its address. */
uint64_t h5b_header(h5w_t *f, const h5w_bytes_t *messages);
/* Writes bytes at the file's end; returns their address. */
uint64_t h5b_append(h5w_t *f, const void *bytes, size_t n);
/* The message of a link to an object, the number-th of its group. */
void h5b_link(h5w_bytes_t *messages, const char *name, uint64_t address, uint64_t number);
/* The messages that a group begins with; next: the number of the next link. */
void h5b_group(h5w_bytes_t *messages, uint64_t next);

#endif
