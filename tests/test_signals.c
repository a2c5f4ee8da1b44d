/* test_signals.c - requests to stop: children receive signals, and the kernel's wait status says
 * how each one ended.
 */
#include "common/base/signals.h"
#include "tests/test.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STOP_ONCE = 11, STATUS_ONCE = 12, NOTHING = 13, TORN = 14 };

/* What a child is started with, and the signals that it sends itself. */
typedef struct {
    const char *what;
    signals_options_t options;
    const char *batch; /* an environment variable of a batch system, or NULL */
    int ignored;       /* a signal ignored at the start, or 0 */
    int first, second; /* second 0 = none */
    int exits, dies;   /* an exit code, or the signal that ends it */
} case_t;

/* Never returns: the exit code says what the module told. */
static void child(const case_t *c) {
    unsetenv("SLURM_JOB_ID");
    unsetenv("PBS_JOBID");
    for (int s = 1; s < 32; s++) signal(s, SIG_DFL);
    if (c->batch) setenv(c->batch, "7", 1);
    if (c->ignored) signal(c->ignored, SIG_IGN);
    signals_catch(&c->options);
    if (signals_stop_asked() || signals_take_status()) _exit(TORN);
    raise(c->first);
    if (c->second) raise(c->second);
    bool status = signals_take_status();
    if (signals_take_status()) _exit(TORN); /* told twice */
    if (status && signals_stop_asked()) _exit(TORN);
    if (status) _exit(STATUS_ONCE);
    _exit(signals_stop_asked() ? STOP_ONCE : NOTHING);
}

TEST(signals_by_wait_status) {
    const signals_options_t plain = {0}, training = {true, true};
    const case_t cases[] = {
        {"TERM", plain, NULL, 0, SIGTERM, 0, STOP_ONCE, 0},
        {"INT", plain, NULL, 0, SIGINT, 0, STOP_ONCE, 0},
        {"HUP", plain, NULL, 0, SIGHUP, 0, STOP_ONCE, 0},
        {"USR1", plain, NULL, 0, SIGUSR1, 0, STOP_ONCE, 0},
        {"TERM, training", training, NULL, 0, SIGTERM, 0, STOP_ONCE, 0},
        {"a second TERM", plain, NULL, 0, SIGTERM, SIGTERM, 0, SIGTERM},
        {"a second INT", training, NULL, 0, SIGINT, SIGINT, 0, SIGINT},
        {"INT after TERM", plain, NULL, 0, SIGTERM, SIGINT, 0, SIGINT},
        {"TERM after HUP", training, NULL, 0, SIGHUP, SIGTERM, 0, SIGTERM},
        {"HUP ignored", plain, NULL, SIGHUP, SIGHUP, SIGHUP, NOTHING, 0},
        {"HUP ignored, training", training, NULL, SIGHUP, SIGHUP, SIGHUP, NOTHING, 0},
        {"INT ignored", plain, NULL, SIGINT, SIGINT, SIGINT, NOTHING, 0},
        {"TERM ignored", plain, NULL, SIGTERM, SIGTERM, 0, NOTHING, 0},
        {"INT ignored, training", training, NULL, SIGINT, SIGINT, 0, STOP_ONCE, 0},
        {"TERM ignored, training", training, NULL, SIGTERM, SIGTERM, SIGTERM, 0, SIGTERM},
        {"USR1 asks", training, NULL, 0, SIGUSR1, 0, STATUS_ONCE, 0},
        {"USR1 asks twice", training, NULL, 0, SIGUSR1, SIGUSR1, STATUS_ONCE, 0},
        {"USR1 under Slurm", training, "SLURM_JOB_ID", 0, SIGUSR1, 0, STOP_ONCE, 0},
        {"USR1 under PBS", training, "PBS_JOBID", 0, SIGUSR1, 0, STOP_ONCE, 0},
        {"USR1 twice under PBS", training, "PBS_JOBID", 0, SIGUSR1, SIGUSR1, 0, SIGUSR1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const case_t *c = &cases[i];
        fflush(NULL);
        pid_t pid = fork();
        REQUIRE(pid >= 0, "no child");
        if (pid == 0) child(c);
        int status = 0;
        REQUIRE(waitpid(pid, &status, 0) == pid, "no child to wait for");
        if (c->dies)
            CHECK(WIFSIGNALED(status) && WTERMSIG(status) == c->dies, "%s: status %x", c->what,
                  status);
        else
            CHECK(WIFEXITED(status) && WEXITSTATUS(status) == c->exits, "%s: status %x", c->what,
                  status);
    }
}

/* A read that waits when the signal comes goes on and gets its byte (SA_RESTART). */
TEST(signals_leave_reads_whole) {
    int pipes[2];
    REQUIRE(!pipe(pipes), "no pipe");
    fflush(NULL);
    pid_t pid = fork();
    REQUIRE(pid >= 0, "no child");
    if (pid == 0) {
        signals_catch(&(signals_options_t){0});
        char byte = 0;
        alarm(20);
        pid_t self = getpid(), helper = fork();
        if (helper == 0) {
            usleep(100000);
            kill(self, SIGTERM);
            usleep(100000);
            _exit(write(pipes[1], "x", 1) != 1);
        }
        ssize_t n = read(pipes[0], &byte, 1);
        _exit(n == 1 && byte == 'x' && signals_stop_asked() ? STOP_ONCE : TORN);
    }
    int status = 0;
    REQUIRE(waitpid(pid, &status, 0) == pid, "no child to wait for");
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == STOP_ONCE, "status %x", status);
    close(pipes[0]);
    close(pipes[1]);
}
