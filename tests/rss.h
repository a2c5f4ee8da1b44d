/* rss.h - the peak of resident memory of this process; to be used in a child (child.h), so that
 * other tests do not count.
 */
#ifndef TESTS_RSS_H
#define TESTS_RSS_H

#include <stdio.h>
#include <string.h>

/* The peak starts anew at what is in use now. */
static inline void rss_reset(void) {
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (!f) return;
    fputs("5", f);
    fclose(f);
}

/* Megabytes. Under a sanitizer, whose own tables are most of it, 0. */
static inline long rss_peak_mb(void) {
    long kb = 1L << 40;
#ifdef __SANITIZE_ADDRESS__
    return 0;
#endif
    char line[256];
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f)) sscanf(line, "VmHWM: %ld kB", &kb);
    if (f) fclose(f);
    return kb >> 10;
}

#endif
