/* test_lock.c - lock files: two processes, a holder that was killed, one that exits, and the use
 * that lock.h shows. */
#include "common/io/lock.h"
#include "tests/folder.h"
#include "tests/test.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>

static bool there(const char *path) {
    struct stat s;
    return stat(path, &s) == 0;
}

/* As lock.h shows it. 0 = taken. */
static int use(void *path) {
    reason_t why;
    lock_t lock;
    int rc = lock_take(&lock, path, "run", &why);
    if (rc) die(rc, "%s", why.text);
    lock_release(&lock);
    return 0;
}

static int look(void *path) {
    reason_t why;
    int rc = lock_look(path, "run", &why);
    if (rc) die(rc, "%s", why.text);
    return 0;
}

TEST(lock_is_one_process) {
    folder_open();
    char path[400], wanted[200];
    snprintf(path, sizeof path, "%s", in_folder("x.lock"));
    lock_t lock;
    child_t c;
    child_run(look, path, &c);
    CHECK(c.code == 0 && !there(path), "%d", c.code);
    REQUIRE(lock_take(&lock, path, "run", NULL) == 0);
    snprintf(wanted, sizeof wanted,
             "?: 'run' is locked by pid %ld: another process is writing it\n", (long)getpid());
    for (int i = 0; i < 2; i++) {
        child_run(i ? look : use, path, &c);
        CHECK(c.code == RC_RUNTIME, "%d", c.code);
        CHECK_STR(c.err, wanted);
        CHECK(there(path));
    }
    lock_release(&lock);
    CHECK(!there(path));
    lock_release(&lock); /* nothing is held any more */
    child_run(use, path, &c);
    CHECK(c.code == 0 && !there(path), "%d %s", c.code, c.err);
    folder_remove();
}

static int take_and_end(void *path) {
    lock_t lock;
    if (lock_take(&lock, path, "run", NULL)) return 9;
    if (there(in_folder("kill"))) raise(SIGKILL);
    die(RC_DATA, "the end");
}

TEST(lock_of_the_dead) {
    folder_open();
    char path[400];
    snprintf(path, sizeof path, "%s", in_folder("x.lock"));
    child_t c;
    child_run(take_and_end, path, &c);
    CHECK(c.code == RC_DATA && !there(path), "an exit leaves no file: %d", c.code);
    FILE *f = fopen(in_folder("kill"), "w");
    REQUIRE(f && !fclose(f));
    child_run(take_and_end, path, &c);
    CHECK(c.code == 128 + SIGKILL && there(path), "%d", c.code);
    child_run(look, path, &c);
    CHECK(c.code == 0, "a file without a process stops nobody: %s", c.err);
    child_run(use, path, &c);
    CHECK(c.code == 0 && !there(path), "%s", c.err);
    folder_remove();
}

TEST(lock_that_cannot_be) {
    reason_t why;
    lock_t lock;
    folder_open();
    CHECK(lock_take(&lock, in_folder("no/x.lock"), "run", &why) == RC_RUNTIME &&
              strstr(why.text, "cannot create '") && strstr(why.text, strerror(ENOENT)),
          "%s", why.text);
    CHECK(lock.fd < 0);
    CHECK(lock_unsupported(37) && lock_unsupported(38) && lock_unsupported(95) &&
          lock_unsupported(524));
    CHECK(!lock_unsupported(EWOULDBLOCK) && !lock_unsupported(EIO) && !lock_unsupported(0));
    folder_remove();
}
