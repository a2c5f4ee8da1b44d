/* part.c - see part.h. */
#include "tokenize/part.h"

#include "common/base/die.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads a whole number from the environment; false when the variable is not set. */
static bool read_variable(const char *name, uint64_t *out) {
    const char *text = getenv(name);
    if (!text || !*text) return false;
    char *end;
    size_t digits = strspn(text, "0123456789");
    *out = strtoull(text, &end, 10);
    if (*end || !digits || digits > 9) die(RC_USAGE, "--shard auto: %s is '%.40s'", name, text);
    return true;
}

/* Rank and size of one starter; false when they are not set. */
static bool read_rank(const char *rank, const char *size, part_t *part) {
    if (!read_variable(rank, &part->index) || !read_variable(size, &part->count)) return false;
    if (part->index >= part->count)
        die(RC_USAGE, "--shard auto: %s is %llu, %s %llu", rank, (unsigned long long)part->index,
            size, (unsigned long long)part->count);
    return true;
}

/* The place in a Slurm array, which need not start at 0: --array=1-8, --array=10-40:10. */
static bool read_array_task(part_t *part) {
    uint64_t id, first = 0, step = 1;
    if (!read_variable("SLURM_ARRAY_TASK_ID", &id) ||
        !read_variable("SLURM_ARRAY_TASK_COUNT", &part->count))
        return false;
    read_variable("SLURM_ARRAY_TASK_MIN", &first);
    read_variable("SLURM_ARRAY_TASK_STEP", &step);
    if (!step || id < first || (id - first) % step || (id - first) / step >= part->count)
        die(RC_USAGE,
            "--shard auto: task %llu of an array of %llu from %llu by %llu: the array has gaps; "
            "give --shard I/N",
            (unsigned long long)id, (unsigned long long)part->count, (unsigned long long)first,
            (unsigned long long)step);
    part->index = (id - first) / step;
    return true;
}

static part_t from_environment(void) {
    static const char *const names[][2] = {{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
                                           {"PMI_RANK", "PMI_SIZE"},
                                           {"SLURM_PROCID", "SLURM_NTASKS"}};
    part_t task = {0, 1, true}, rank = {0, 1, true};
    bool any = read_array_task(&task);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        part_t one = {0};
        if (!read_rank(names[i][0], names[i][1], &one)) continue;
        any = true;
        if (one.count == 1) continue; /* alone in its world: an outer starter may know of more */
        rank.index = one.index;
        rank.count = one.count;
        break;
    }
    if (!any)
        die(RC_USAGE,
            "--shard auto: neither SLURM_ARRAY_TASK_ID and _COUNT, SLURM_PROCID and SLURM_NTASKS, "
            "OMPI_COMM_WORLD_RANK and _SIZE nor PMI_RANK and PMI_SIZE are set");
    return (part_t){task.index * rank.count + rank.index, task.count * rank.count, true};
}

part_t part_parse(const char *text) {
    unsigned long long i, n;
    char rest;
    if (!text) return (part_t){0, 1, false};
    if (!strcmp(text, "auto")) {
        part_t part = from_environment();
        if (part.count > MOST_PARTS)
            die(RC_USAGE, "--shard auto: %llu parts", (unsigned long long)part.count);
        return part;
    }
    bool digits = strspn(text, "0123456789/") == strlen(text);
    if (!digits || sscanf(text, "%llu/%llu%c", &i, &n, &rest) != 2 || i >= n || n > MOST_PARTS)
        die(RC_USAGE, "--shard '%s': I/N is needed (or auto); parts are numbered 0/N to (N-1)/N",
            text);
    return (part_t){i, n, false};
}

char *part_path(const char *out, part_t part) {
    size_t n = strlen(out);
    while (n > 1 && out[n - 1] == '/') n--;
    bool suffix = n > 5 && !memcmp(out + n - 5, ".lmdb", 5);
    return xasprintf("%.*s.%llu-of-%llu%s", (int)(suffix ? n - 5 : n), out,
                     (unsigned long long)part.index, (unsigned long long)part.count,
                     suffix ? ".lmdb" : "");
}
