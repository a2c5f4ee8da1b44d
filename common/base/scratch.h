/* scratch.h - scratch memory of a thread, kept from one call to the next.
 *
 * A kernel needs packed panels and small tables on every call, and fresh pages cost more than the
 * work. So each thread owns SCRATCH_SLOTS blocks. A block grows to the largest request and stays
 * until the thread ends.
 *
 * A slot is a number. The floor above decides who uses which one (common/kernel/slots.h), so that
 * kernels that call one another do not overwrite each other's blocks.
 */
#ifndef BASE_SCRATCH_H
#define BASE_SCRATCH_H

#include <stddef.h>

enum { SCRATCH_SLOTS = 32 };

/* The calling thread's block number `slot` (0 .. SCRATCH_SLOTS-1): at least `bytes`, 64-byte
 * aligned.
 *
 * The thread owns the block: do not free it. Its content is undefined, and the pointer holds until
 * the same thread asks for the same slot again. Tasks of a parallel_for may use a block of the
 * thread that called it. Never NULL: without memory the program ends (xaligned). */
void *scratch_get(int slot, size_t bytes);

#endif
