/* signals.h - requests to stop, by signal: a program that checks for them ends between two pieces
 * of work, with all that is done so far in its files.
 *
 *     signals_catch(&(signals_options_t){0});
 *     while (work_left && !signals_stop_asked()) do_a_piece();
 *     ...save, say how to go on, return RC_STOPPED (exit 75)
 *
 * SIGTERM, SIGINT and SIGHUP ask to stop. The first signal sets a flag and nothing else. The second
 * one, of whatever kind, ends the process at once as if nobody had caught it (status 143 after
 * SIGTERM, 130 after SIGINT). A SIGHUP that was ignored at the start (nohup) stays ignored.
 *
 * There is one state per process. What a program does between the request and its end is its own
 * matter: training saves a checkpoint (train/loop.c), tokenizing finishes the batch at hand.
 */
#ifndef BASE_SIGNALS_H
#define BASE_SIGNALS_H

#include <stdbool.h>

typedef struct {
    /* SIGUSR1 asks for a status line instead of a stop. Not under Slurm or PBS (SLURM_JOB_ID or
     * PBS_JOBID is set): there it announces the end of the job's time, so it asks to stop. */
    bool usr1_asks_status;
    /* Catch SIGTERM, SIGINT and SIGUSR1 even if they were ignored at the start. A shell script
     * starts its background jobs with SIGINT ignored. */
    bool take_ignored;
} signals_options_t;

/* Installs the handlers. Interrupted system calls go on by themselves (SA_RESTART). */
void signals_catch(const signals_options_t *options);
/* True from the first request to stop on. */
bool signals_stop_asked(void);
/* True once for each request for a status line; requests that nobody has asked for yet count as
 * one. */
bool signals_take_status(void);

#endif
