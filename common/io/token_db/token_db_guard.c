/* token_db_guard.c - see token_db_guard.h. A global table, since a signal handler sees nothing
 * else.
 */
#include "common/io/token_db/token_db_guard.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SLOTS = 256 };

static struct {
    token_db_t *db; /* NULL = free */
    pid_t process;  /* after fork() the parent's shards are not the child's */
    dev_t dev;
    ino_t ino;
    _Atomic uintptr_t from, to; /* the handler reads these */
    char message[512];
} slot_of[SLOTS];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* Calls only what a signal handler may call. A fault outside all maps ends the process as usual. */
static void on_sigbus(int signal_number, siginfo_t *info, void *context) {
    uintptr_t at = (uintptr_t)info->si_addr;
    for (int i = 0; i < SLOTS; i++) {
        if (at < atomic_load(&slot_of[i].from) || at >= atomic_load(&slot_of[i].to)) continue;
        ssize_t written = write(STDERR_FILENO, slot_of[i].message, strlen(slot_of[i].message));
        (void)written; /* there is no second way to tell it */
        _exit(RC_DATA);
    }
    (void)context;
    signal(signal_number, SIG_DFL);
    raise(signal_number); /* delivered when this handler returns */
}

static void install_once(void) {
    struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
}

int shard_slot_take(dev_t dev, ino_t ino, token_db_t *db, token_db_t **other) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install_once);
    int slot = -1;
    *other = NULL;
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < SLOTS; i++) {
        if (!slot_of[i].db || slot_of[i].process != getpid()) {
            if (slot < 0) slot = i;
        } else if (slot_of[i].dev == dev && slot_of[i].ino == ino) {
            *other = slot_of[i].db;
        }
    }
    if (*other) slot = -1;
    if (slot >= 0) {
        slot_of[slot].db = db;
        slot_of[slot].process = getpid();
        slot_of[slot].dev = dev;
        slot_of[slot].ino = ino;
    }
    pthread_mutex_unlock(&mutex);
    return slot;
}

void shard_slot_guard(int slot, const void *map, size_t size, const char *path) {
    snprintf(slot_of[slot].message, sizeof slot_of[slot].message,
             "%s: '%s': truncated while it was read (or its disk failed)\n", die_program(), path);
    atomic_store(&slot_of[slot].from, (uintptr_t)map);
    atomic_store(&slot_of[slot].to, (uintptr_t)map + size);
}

void shard_slot_release(int slot) {
    if (slot < 0) return;
    pthread_mutex_lock(&mutex);
    atomic_store(&slot_of[slot].to, 0);
    atomic_store(&slot_of[slot].from, 0);
    slot_of[slot].db = NULL;
    pthread_mutex_unlock(&mutex);
}
