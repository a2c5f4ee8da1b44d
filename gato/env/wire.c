/* wire.c - pipes to a child process, which never block here: every wait is a poll with what is left
 * of the request's time.
 *
 * The child may write before it has read, and may read late: while a request goes out, its answer is
 * taken in. `in` holds what came and was not read yet; a line may come with bytes behind it.
 */
#include "gato/env/wire.h"
#include "common/base/log.h"
#include "common/io/text/json.h"
#include "common/io/utf8.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 1 << 16, FIRST = 60 /* bytes of an answer in a message */ };
/* Seconds that a child has to end by itself, and that a dying one has to become a zombie. */
static const double LAST_MOMENT = 2, DYING = 0.2;

struct wire {
    char *command;
    pid_t pid; /* 0: stopped; also the number of its process group */
    int to, from;
    const char *verb; /* of the request at hand */
    double limit, deadline;
    char *in; /* bytes at .. n came and were not read */
    size_t at, n, cap;
    char first[FIRST]; /* bytes of the answer ... */
    size_t answered;   /* ... which has so many by now */
};

/* ---- start and end ---- */

/* Between fork and exec: only calls that are safe in a signal handler. */
static void become_child(const char *command, pid_t parent, int in, int out, int err) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    signal(SIGPIPE, SIG_DFL);
    if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0) _exit(127);
    if (err >= 0 && dup2(err, STDERR_FILENO) < 0) _exit(127);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

static void close_all(const int *fd, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (fd[i] >= 0) close(fd[i]);
}

/* All ends close on exec, so that no other child holds this one's standard input open. */
static int make_pipes(int fd[4], reason_t *why) {
    if (pipe2(fd, O_CLOEXEC)) return reason_set(why, "cannot make a pipe: %s", cause_of(errno));
    if (pipe2(fd + 2, O_CLOEXEC)) {
        reason_set(why, "cannot make a pipe: %s", cause_of(errno));
        close_all(fd, 2);
        return -1;
    }
    /* Numbers below 3 would be overwritten by the child's own streams: a program that was started
     * without them. */
    for (int i = 0; i < 4; i++) {
        if (fd[i] > STDERR_FILENO) continue;
        int moved = fcntl(fd[i], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        if (moved < 0) {
            reason_set(why, "cannot move a pipe: %s", cause_of(errno));
            close_all(fd, 4);
            return -1;
        }
        close(fd[i]);
        fd[i] = moved;
    }
    return 0;
}

wire_t *wire_start(const char *command, const char *log, reason_t *why) {
    int fd[4], err = -1; /* child's input, its writer, reader of its output, output */
    if (make_pipes(fd, why)) return NULL;
    int in = fd[0], to = fd[1], from = fd[2], out = fd[3];
    if (log) {
        err = open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
        if (err < 0) {
            reason_set(why, "cannot open '%s': %s", log, cause_of(errno));
            close_all(fd, 4);
            return NULL;
        }
    }
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) become_child(command, parent, in, out, err);
    int cause = errno;
    close_all((int[]){in, out, err}, 3);
    if (pid < 0) {
        reason_set(why, "cannot start '%s': %s", command, cause_of(cause));
        close_all((int[]){to, from}, 2);
        return NULL;
    }
    setpgid(pid, pid); /* whoever comes first, the child or we */
    if (fcntl(to, F_SETFL, O_NONBLOCK) || fcntl(from, F_SETFL, O_NONBLOCK))
        BUG("a pipe stays blocking");
    wire_t *w = NEW(wire_t);
    *w = (wire_t){.command = xstrdup(command), .pid = pid, .to = to, .from = from, .verb = "start"};
    return w;
}

bool wire_stopped(const wire_t *w) {
    return !w->pid;
}

static void nap(void) {
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

/* Waits until the child has ended, but leaves it a zombie: its number, and that of its group, stay
 * taken. False when it goes on. */
static bool has_ended(const wire_t *w, double until, siginfo_t *info) {
    for (;;) {
        *info = (siginfo_t){0};
        if (waitid(P_PID, (id_t)w->pid, info, WEXITED | WNOHANG | WNOWAIT) && errno != EINTR)
            return false;
        if (info->si_pid) return true;
        if (log_now() >= until) return false;
        nap();
    }
}

/* Kills the whole group and reaps the child. */
static void stop(wire_t *w) {
    if (!w->pid) return;
    kill(-w->pid, SIGKILL);
    kill(w->pid, SIGKILL); /* should it have left its group */
    while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR) continue;
    w->pid = 0;
    if (w->to >= 0) close(w->to);
    close(w->from);
}

/* ---- messages ---- */

/* The first bytes of the answer, fit for a line: also NULs among them. */
static const char *first_bytes(const wire_t *w, char out[8 * FIRST]) {
    size_t n = w->answered < FIRST ? w->answered : FIRST, used = 0;
    char text[FIRST + 1] = "";
    memcpy(text, w->first, n);
    for (size_t i = 0; i < n; i += strlen(text + i) + 1) {
        utf8_printable(out + used, 8 * FIRST - used, text + i);
        used += strlen(out + used);
        if (i + strlen(text + i) < n) used += (size_t)sprintf(out + used, "\\x00");
    }
    return out;
}

/* Stops the child. The reason: environment 'CMD': VERB: what happened; its answer began with
 * "...". */
static int fail(wire_t *w, reason_t *why, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static int fail(wire_t *w, reason_t *why, const char *fmt, ...) {
    char cause[512], command[200], first[8 * FIRST];
    va_list args;
    va_start(args, fmt);
    vsnprintf(cause, sizeof cause, fmt, args);
    va_end(args);
    stop(w);
    utf8_printable(command, sizeof command, w->command);
    if (!w->answered) return reason_set(why, "environment '%s': %s: %s", command, w->verb, cause);
    return reason_set(why, "environment '%s': %s: %s; its answer began with \"%s\"%s", command,
                      w->verb, cause, first_bytes(w, first), w->answered > FIRST ? "..." : "");
}

int wire_refuse(wire_t *w, const char *cause, reason_t *why) {
    return fail(w, why, "%s", cause);
}

static int fail_late(wire_t *w, reason_t *why) {
    return fail(w, why, "no whole reply within %g s", w->limit);
}

static int fail_ended(wire_t *w, reason_t *why) {
    siginfo_t info;
    if (!has_ended(w, log_now() + DYING, &info)) return fail(w, why, "it closed its output");
    if (info.si_code == CLD_EXITED)
        return fail(w, why, "it ended with exit code %d", info.si_status);
    return fail(w, why, "it was ended by signal %d (%s)", info.si_status,
                strsignal(info.si_status));
}

/* ---- bytes ---- */

/* Without SIGPIPE: blocked while we write, and taken back if it came from this write. */
static ssize_t write_quietly(int fd, const void *bytes, size_t n) {
    sigset_t pipe_signal, before, pending;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    ssize_t done = write(fd, bytes, n);
    int error = errno;
    if (done < 0 && error == EPIPE && !sigismember(&pending, SIGPIPE))
        sigtimedwait(&pipe_signal, NULL, &(struct timespec){0});
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return done;
}

static void note(wire_t *w, const char *bytes, size_t n) {
    if (w->answered < FIRST) {
        size_t room = FIRST - w->answered;
        memcpy(w->first + w->answered, bytes, n < room ? n : room);
    }
    w->answered += n;
}

static bool try_again(void) {
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* Waits until the child can be read, or written if `writing`. Sets what is ready. 0, or -1 with a
 * reason when the time is over. */
static int wait_for(wire_t *w, bool reading, bool writing, bool *readable, bool *writable,
                    reason_t *why) {
    struct pollfd p[2] = {{reading ? w->from : -1, POLLIN, 0}, {writing ? w->to : -1, POLLOUT, 0}};
    *readable = *writable = false;
    double left = w->deadline - log_now();
    if (left <= 0) return fail_late(w, why);
    int n = poll(p, 2, (int)fmin(ceil(left * 1000), 1e6));
    if (n < 0 && errno != EINTR) return fail(w, why, "poll: %s", cause_of(errno));
    *readable = n > 0 && p[0].revents;
    *writable = n > 0 && p[1].revents;
    return 0;
}

/* One read into `to`. The number of bytes, 0 when there are none yet, -1 with a reason. */
static ssize_t take(wire_t *w, void *to, size_t n, reason_t *why) {
    ssize_t got = read(w->from, to, n);
    if (got < 0) return try_again() ? 0 : fail(w, why, "cannot read: %s", cause_of(errno));
    if (got == 0) return fail_ended(w, why);
    note(w, to, (size_t)got);
    return got;
}

static int take_more(wire_t *w, reason_t *why) {
    w->in = xgrow(w->in, &w->cap, w->n + CHUNK, 1);
    ssize_t got = take(w, w->in + w->n, CHUNK, why);
    if (got > 0) w->n += (size_t)got;
    return got < 0 ? -1 : 0;
}

/* Is there the end of a line? A line that is too long is refused. */
static int find_end(wire_t *w, char **end, reason_t *why) {
    size_t n = w->n < WIRE_LINE ? w->n : WIRE_LINE;
    *end = n ? memchr(w->in, '\n', n) : NULL;
    if (!*end && w->n >= WIRE_LINE) return fail(w, why, "a line of more than %d bytes", WIRE_LINE);
    return 0;
}

typedef struct {
    const char *bytes;
    size_t left;
} outgoing_t;

/* Writes what is left of one part. A child that has closed its input has not read all, but may have
 * answered: then nothing is left to write. */
static int push(wire_t *w, outgoing_t *part, reason_t *why) {
    ssize_t done = write_quietly(w->to, part->bytes, part->left);
    if (done < 0 && errno == EPIPE) {
        part->left = 0;
        return 0;
    }
    if (done < 0) return try_again() ? 0 : fail(w, why, "cannot write: %s", cause_of(errno));
    part->bytes += done;
    part->left -= (size_t)done;
    return 0;
}

/* Sends all parts while it reads up to the end of a line, which *end points to. */
static int exchange(wire_t *w, outgoing_t *part, size_t parts, char **end, reason_t *why) {
    size_t at = 0;
    *end = NULL;
    for (;;) {
        while (at < parts && !part[at].left) at++;
        if (at == parts && *end) return 0;
        bool readable, writable;
        if (wait_for(w, !*end, at < parts, &readable, &writable, why)) return -1;
        if (writable && push(w, &part[at], why)) return -1;
        if (readable && (take_more(w, why) || find_end(w, end, why))) return -1;
    }
}

/* Has the child said something that nobody asked for? */
static int check_silence(wire_t *w, reason_t *why) {
    struct pollfd p = {w->from, POLLIN, 0};
    if (poll(&p, 1, 0) <= 0 || !(p.revents & POLLIN)) return 0;
    if (take_more(w, why)) return -1;
    return w->n > w->at ? fail(w, why, "bytes came that nobody asked for") : 0;
}

cJSON *wire_ask(wire_t *w, const char *verb, const char *line, const void *bytes, size_t size,
                double limit, reason_t *why) {
    if (!w->pid) BUG("a request to a child that was stopped");
    w->verb = verb;
    w->limit = limit;
    w->deadline = log_now() + limit;
    w->at = w->n = w->answered = 0;
    if (check_silence(w, why)) return NULL;
    outgoing_t part[3] = {{line, strlen(line)}, {"\n", 1}, {bytes, size}};
    char *end;
    if (exchange(w, part, 3, &end, why)) return NULL;
    size_t n = (size_t)(end - w->in);
    w->at = n + 1;
    reason_t bad;
    cJSON *reply = json_parse(w->in, n, false, &bad);
    if (!reply) {
        fail(w, why, "not a line of JSON: %s", bad.text);
    } else if (!cJSON_IsObject(reply)) {
        cJSON_Delete(reply);
        reply = NULL;
        fail(w, why, "not an object");
    }
    return reply;
}

int wire_read(wire_t *w, void *to, size_t n, reason_t *why) {
    size_t have = w->n - w->at < n ? w->n - w->at : n;
    if (have) memcpy(to, w->in + w->at, have);
    w->at += have;
    while (have < n) {
        bool readable, writable;
        if (wait_for(w, true, false, &readable, &writable, why)) return -1;
        ssize_t got = readable ? take(w, (char *)to + have, n - have, why) : 0;
        if (got < 0) return -1;
        have += (size_t)got;
    }
    return 0;
}

int wire_done(wire_t *w, reason_t *why) {
    size_t more = w->n - w->at;
    return more ? fail(w, why, "%zu bytes behind the reply", more) : 0;
}

/* ---- close ---- */

void wire_close(wire_t *w) {
    if (!w) return;
    if (w->pid) {
        static const char bye[] = "{\"verb\":\"close\"}\n";
        siginfo_t info;
        /* A full pipe belongs to a child that does not read: it is stopped, then. */
        bool told = write_quietly(w->to, bye, sizeof bye - 1) == (ssize_t)(sizeof bye - 1);
        close(w->to);
        w->to = -1;
        has_ended(w, log_now() + (told ? LAST_MOMENT : DYING), &info);
        stop(w);
    }
    free(w->command);
    free(w->in);
    free(w);
}
