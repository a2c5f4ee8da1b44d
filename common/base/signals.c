/* signals.c - see signals.h. */
#include "common/base/signals.h"

#include <signal.h>
#include <stdlib.h>

static volatile sig_atomic_t stop_signal, status_signal;

static void on_stop(int signal_number) {
    if (stop_signal) {
        /* raise() takes effect when this handler returns: until then the signal is blocked. */
        signal(signal_number, SIG_DFL);
        raise(signal_number);
    }
    stop_signal = signal_number;
}

static void on_status(int signal_number) {
    (void)signal_number;
    status_signal = 1;
}

static bool ignored(int signal_number) {
    struct sigaction old;
    return sigaction(signal_number, NULL, &old) || old.sa_handler == SIG_IGN;
}

static void catch (int signal_number, void (*handler)(int), bool take_ignored) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    if (take_ignored || !ignored(signal_number)) sigaction(signal_number, &action, NULL);
}

void signals_catch(const signals_options_t *options) {
    bool in_batch_job = getenv("SLURM_JOB_ID") || getenv("PBS_JOBID");
    bool usr1_stops = !options->usr1_asks_status || in_batch_job;
    catch (SIGTERM, on_stop, options->take_ignored);
    catch (SIGINT, on_stop, options->take_ignored);
    catch (SIGHUP, on_stop, false);
    catch (SIGUSR1, usr1_stops ? on_stop : on_status, options->take_ignored);
}

bool signals_stop_asked(void) {
    return stop_signal != 0;
}

bool signals_take_status(void) {
    bool asked = status_signal != 0;
    status_signal = 0;
    return asked;
}
