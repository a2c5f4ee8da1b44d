/* test_processors.c - how many processors a process may use: trees of cgroup files made here, with
 * limits worked out by hand, and the affinity of this very process. */
#include "common/base/pool.h"
#include "common/base/processors.h"
#include "common/io/fs.h"
#include "tests/folder.h"
#include "tests/test.h"

#include <sched.h>

static void put(const char *name, const char *text) {
    char path[600], dir[600];
    snprintf(path, sizeof path, "%s", in_folder(name));
    snprintf(dir, sizeof dir, "%s", path);
    *strrchr(dir, '/') = 0;
    if (fs_mkdirs(dir, NULL)) abort();
    FILE *f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f)) abort();
}

/* Version 2: the group's own limit, with nothing above it. */
TEST(quota_of_version_2) {
    static const struct {
        const char *limit;
        int processors;
    } cases[] = {{"max 100000\n", 0},
                 {"100000 100000\n", 1},
                 {"150000 100000\n", 2},
                 {"200000 100000\n", 2},
                 {"200001 100000\n", 3},
                 {"1000 100000\n", 1},
                 {"6400000 100000\n", 64},
                 {"50000 10000", 5},
                 {"", 0},
                 {"nonsense\n", 0},
                 {"0 0\n", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        folder_open();
        put("proc/self/cgroup", "0::/system.slice/job_7\n");
        put("sys/fs/cgroup/system.slice/job_7/cpu.max", cases[i].limit);
        CHECK(processors_quota(folder) == cases[i].processors, "'%s': %d", cases[i].limit,
              processors_quota(folder));
        folder_remove();
    }
}

TEST(quota_of_an_ancestor_holds) {
    folder_open();
    put("proc/self/cgroup", "0::/slurm/job_7/step_0/task_0\n");
    put("sys/fs/cgroup/slurm/job_7/step_0/task_0/cpu.max", "max 100000\n");
    put("sys/fs/cgroup/slurm/job_7/cpu.max", "350000 100000\n");
    CHECK(processors_quota(folder) == 4);
    put("sys/fs/cgroup/slurm/cpu.max", "800000 100000\n"); /* wider: no matter */
    CHECK(processors_quota(folder) == 4);
    put("sys/fs/cgroup/slurm/job_7/step_0/task_0/cpu.max", "200000 100000\n");
    CHECK(processors_quota(folder) == 2);
    put("sys/fs/cgroup/cpu.max", "90000 100000\n"); /* the container's own, at the mount */
    CHECK(processors_quota(folder) == 1);
    put("sys/fs/cgroup/other/cpu.max", "1000 100000\n");
    put("proc/self/cgroup", "0::/slurm/job_8\n"); /* not our group: only what holds both */
    put("sys/fs/cgroup/cpu.max", "500000 100000\n");
    CHECK(processors_quota(folder) == 5);
    folder_remove();
}

TEST(quota_of_a_container) {
    folder_open();
    put("proc/self/cgroup", "0::/\n");
    CHECK(processors_quota(folder) == 0);
    put("sys/fs/cgroup/cpu.max", "150000 100000\n");
    CHECK(processors_quota(folder) == 2);
    put("proc/self/cgroup", "0::/../../elsewhere\n"); /* a group outside of what is mounted */
    CHECK(processors_quota(folder) == 2);
    folder_remove();
}

TEST(quota_of_version_1) {
    static const char *const mounts[] = {"cpu,cpuacct", "cpu"};
    for (size_t i = 0; i < 2; i++) {
        char name[200];
        folder_open();
        put("proc/self/cgroup", "12:cpuset:/x\n4:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n"
                                "1:name=systemd:/docker/abc\n");
        CHECK(processors_quota(folder) == 0);
        snprintf(name, sizeof name, "sys/fs/cgroup/%s/docker/abc/cpu.cfs_quota_us", mounts[i]);
        put(name, "-1\n");
        snprintf(name, sizeof name, "sys/fs/cgroup/%s/docker/abc/cpu.cfs_period_us", mounts[i]);
        put(name, "100000\n");
        CHECK(processors_quota(folder) == 0);
        snprintf(name, sizeof name, "sys/fs/cgroup/%s/docker/abc/cpu.cfs_quota_us", mounts[i]);
        put(name, "250000\n");
        CHECK(processors_quota(folder) == 3);
        /* The container sees its own group as the root of the mount. */
        snprintf(name, sizeof name, "sys/fs/cgroup/%s/cpu.cfs_quota_us", mounts[i]);
        put(name, "120000\n");
        snprintf(name, sizeof name, "sys/fs/cgroup/%s/cpu.cfs_period_us", mounts[i]);
        put(name, "100000\n");
        CHECK(processors_quota(folder) == 2);
        folder_remove();
    }
}

TEST(quota_that_is_not_there) {
    folder_open();
    CHECK(processors_quota(folder) == 0); /* no cgroups at all */
    put("proc/self/cgroup", "");
    CHECK(processors_quota(folder) == 0);
    put("proc/self/cgroup", "garbage\n5:cpu\n::\n5:cpuset,cpuacct:/a\n");
    put("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "100000\n"); /* of a line that names no cpu */
    put("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
    CHECK(processors_quota(folder) == 0);
    folder_remove();
}

/* In a child: an affinity is the thread's for good. */
static int one_processor(void *arg) {
    cpu_set_t set;
    int first = 0;
    (void)arg;
    if (sched_getaffinity(0, sizeof set, &set)) return 2;
    while (!CPU_ISSET(first, &set)) first++;
    CPU_ZERO(&set);
    CPU_SET(first, &set);
    if (sched_setaffinity(0, sizeof set, &set)) return 2;
    pool_set_threads(0);
    return pool_threads() == 1 && processors_allowed() == 1 ? 0 : 1;
}

TEST(affinity_counts) {
    cpu_set_t set;
    child_t c;
    REQUIRE(!sched_getaffinity(0, sizeof set, &set));
    int n = CPU_COUNT(&set), quota = processors_quota("");
    CHECK(processors_allowed() == (quota && quota < n ? quota : n));
    child_run(one_processor, NULL, &c);
    CHECK(c.code == 0, "%d", c.code);
}
