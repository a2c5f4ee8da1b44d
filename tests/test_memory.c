/* test_memory.c - how much memory a process may still take: trees of files made here, with what is
 * left worked out by hand. */
#include "common/base/memory.h"
#include "common/io/fs.h"
#include "tests/folder.h"
#include "tests/test.h"

#include <sys/resource.h>
#include <unistd.h>

static void put(const char *name, const char *text) {
    char path[600], dir[600];
    snprintf(path, sizeof path, "%s", in_folder(name));
    snprintf(dir, sizeof dir, "%s", path);
    *strrchr(dir, '/') = 0;
    if (fs_mkdirs(dir, NULL)) abort();
    FILE *f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f)) abort();
}

static void put_system(void) {
    folder_open();
    put("proc/meminfo", "MemTotal:       16000 kB\nMemFree:         2000 kB\n"
                        "MemAvailable:    8000 kB\nBuffers:          100 kB\n");
}

TEST(what_the_system_calls_available) {
    put_system();
    CHECK(memory_available(folder) == 8000 << 10);
    folder_remove();
}

TEST(limits_of_version_2) {
    put_system();
    put("proc/self/cgroup", "0::/pod/box\n");
    put("sys/fs/cgroup/pod/box/memory.max", "max\n");
    put("sys/fs/cgroup/pod/box/memory.current", "5000000\n");
    CHECK(memory_available(folder) == 8000 << 10);
    put("sys/fs/cgroup/pod/memory.max", "6000000\n");
    put("sys/fs/cgroup/pod/memory.current", "5000000\n");
    CHECK(memory_available(folder) == 1000000);
    put("sys/fs/cgroup/pod/memory.stat", "anon 3000000\nfile 2000000\ninactive_file 1500000\n");
    CHECK(memory_available(folder) == 2500000);
    put("sys/fs/cgroup/pod/box/memory.max", "5500000\n"); /* tighter, below */
    CHECK(memory_available(folder) == 500000);
    put("sys/fs/cgroup/pod/box/memory.max", "4000000\n"); /* more in use than allowed */
    CHECK(memory_available(folder) == 1);
    put("sys/fs/cgroup/pod/box/memory.max", "900000000000\n");
    put("sys/fs/cgroup/pod/memory.max", "900000000000\n");
    CHECK(memory_available(folder) == 8000 << 10);
    folder_remove();
}

TEST(limits_of_version_1) {
    put_system();
    put("proc/self/cgroup", "4:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n");
    put("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "9223372036854771712\n");
    put("sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes", "3000000\n");
    CHECK(memory_available(folder) == 8000 << 10);
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "4000000\n"); /* as a container sees it */
    put("sys/fs/cgroup/memory/memory.usage_in_bytes", "3000000\n");
    put("sys/fs/cgroup/memory/memory.stat", "inactive_file 7\ntotal_inactive_file 200000\n");
    CHECK(memory_available(folder) == 1200000);
    folder_remove();
}

static int limited(void *arg) {
    struct rlimit space = {7 << 20, RLIM_INFINITY};
    if (setrlimit(RLIMIT_AS, &space)) return 2;
    return memory_available(arg) == (7u << 20) - 1000 * (uint64_t)sysconf(_SC_PAGESIZE) ? 0 : 1;
}

TEST(limit_of_address_space) {
    child_t c;
    put_system();
    put("proc/self/statm", "1000 300 200 10 0 400 0\n");
#ifndef __SANITIZE_ADDRESS__
    child_run(limited, folder, &c);
    CHECK(c.code == 0, "%d %s", c.code, c.err);
#endif
    folder_remove();
}

TEST(the_real_system_has_some) {
    CHECK(memory_available("") > 1 << 20);
}
