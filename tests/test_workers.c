/* test_workers.c - worker processes that send messages: order, sizes, deaths, stops. Oracle: what
 * item i sends is a formula of i.
 */
#include "common/base/die.h"
#include "gato/play/workers.h"
#include "tests/child.h"
#include "tests/test.h"
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

/* Item i sends i % 4 messages; message k is k * 100 * i bytes of the value i + k. */
enum { LARGEST = 100000 };
static uint8_t sent[LARGEST];

static size_t size_of(size_t i, size_t k) {
    return k * 100 * i;
}

static void send_some(void *ctx, size_t i, workers_out_t *out) {
    for (size_t k = 0; k < i % 4; k++) {
        memset(sent, (int)(i + k), size_of(i, k));
        CHECK(workers_send(out, sent, size_of(i, k)));
    }
}

typedef struct {
    size_t item, message, lost[32], n_lost, stop_at, messages;
    char how[64];
} seen_t;

static void take(void *ctx, size_t i, const void *message, size_t bytes) {
    seen_t *s = ctx;
    if (i != s->item) s->message = 0;
    CHECK(i >= s->item, "item %zu behind %zu", i, s->item);
    CHECK(bytes == size_of(i, s->message), "%zu bytes", bytes);
    for (size_t b = 0; b < bytes; b++)
        CHECK(((const uint8_t *)message)[b] == (uint8_t)(i + s->message));
    s->item = i;
    s->message++;
    s->messages++;
}

static void lost(void *ctx, size_t i, const char *how) {
    seen_t *s = ctx;
    s->lost[s->n_lost++ % 32] = i;
    snprintf(s->how, sizeof s->how, "%s", how);
}

static bool stop(void *ctx) {
    const seen_t *s = ctx;
    return s->stop_at && s->messages >= s->stop_at;
}

static size_t run(size_t workers, size_t first, size_t end, workers_work_fn work, seen_t *s) {
    return workers_run(workers, first, end, work, NULL,
                       &(workers_take_t){.ctx = s, .take = take, .lost = lost, .stop = stop});
}

TEST(messages_come_in_the_order_of_items) {
    for (size_t workers = 1; workers <= 5; workers++)
        for (size_t first = 0; first <= 3; first += 3)
            for (size_t end = 0; end <= 17; end += 4) {
                seen_t s = {0};
                size_t want = 0;
                for (size_t i = first; i < end; i++) want += i % 4;
                CHECK(run(workers, first, end, send_some, &s) == end);
                CHECK(s.messages == want && s.n_lost == 0, "%zu of %zu", s.messages, want);
            }
}

static void send_pid(void *ctx, size_t i, workers_out_t *out) {
    pid_t pid = getpid();
    workers_send(out, &pid, sizeof pid);
}

static void take_pid(void *ctx, size_t i, const void *message, size_t bytes) {
    ((pid_t *)ctx)[i] = *(const pid_t *)message;
}

TEST(so_many_processes_work) {
    pid_t pid[6];
    for (size_t workers = 1; workers <= 3; workers++) {
        workers_run(workers, 0, 6, send_pid, NULL,
                    &(workers_take_t){.ctx = pid, .take = take_pid, .lost = lost});
        for (size_t i = 0; i < 6; i++)
            for (size_t k = 0; k < 6; k++)
                CHECK((pid[i] == pid[k]) == (i % workers == k % workers));
        CHECK((pid[0] == getpid()) == (workers == 1));
    }
}

/* Items 3, 4 and 9 kill their worker behind their first message. */
static void die_at_some(void *ctx, size_t i, workers_out_t *out) {
    if (i == 4) raise(SIGKILL);
    for (size_t k = 0; k < i % 4; k++) {
        memset(sent, (int)(i + k), size_of(i, k));
        workers_send(out, sent, size_of(i, k));
        if (i == 3 || i == 9) raise(SIGKILL);
    }
}

TEST(fault_090_a_dead_worker_costs_its_item) {
    for (size_t workers = 2; workers <= 4; workers++) {
        seen_t s = {0};
        CHECK(run(workers, 0, 14, die_at_some, &s) == 14);
        CHECK(s.n_lost == 3 && s.lost[0] == 3 && s.lost[1] == 4 && s.lost[2] == 9);
        /* 14 items send 19; item 3 sends 1 of 3, item 9 its only one. */
        CHECK(s.messages == 19 - 2, "%zu messages", s.messages);
        CHECK(strstr(s.how, "signal 9"), "%s", s.how);
    }
}

static void exit_at_three(void *ctx, size_t i, workers_out_t *out) {
    if (i == 3) die(9, "the disk is gone");
}

static int run_exiting(void *arg) {
    seen_t s = {0};
    run(2, 0, 6, exit_at_three, &s);
    return 0;
}

TEST(a_worker_that_exits_ends_the_program) {
    child_t c;
    child_run(run_exiting, NULL, &c);
    CHECK(c.code == 9 && strstr(c.err, "the disk is gone"), "code %d: %s", c.code, c.err);
}

static void send_for_ever(void *ctx, size_t i, workers_out_t *out) {
    for (size_t k = 0; workers_send(out, sent, 0); k++)
        if (i != 0 && k == 2) break;
}

static void take_any(void *ctx, size_t i, const void *message, size_t bytes) {
    seen_t *s = ctx;
    s->messages++;
}

TEST(stops_within_an_item) {
    for (size_t workers = 1; workers <= 3; workers++) {
        seen_t s = {.stop_at = 50};
        size_t at = workers_run(workers, 0, 6, send_for_ever, NULL,
                                &(workers_take_t){.ctx = &s, .take = take_any, .stop = stop});
        CHECK(at == 0 && s.messages == 50, "item %zu, %zu messages", at, s.messages);
    }
}

/* Without its reader no worker goes on. */
static int orphan(void *arg) {
    seen_t s = {0};
    workers_run(3, 0, 3, send_for_ever, NULL, &(workers_take_t){.ctx = &s, .take = take_any});
    return 0;
}

TEST(workers_end_with_their_reader) {
    int fd[2];
    REQUIRE(pipe(fd) == 0);
    fflush(NULL);
    pid_t pid = fork();
    if (!pid) _exit(orphan(NULL));
    close(fd[1]);
    usleep(50000);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    /* The workers inherited the pipe's other end: it closes with the last of them. */
    alarm(20);
    char byte;
    CHECK(read(fd[0], &byte, 1) == 0);
    alarm(0);
    close(fd[0]);
}
