/* level.c - see level.h. Compiled once, for any processor.
 *
 * Each kernel's plain name is one instruction, a jump through a pointer. A C function in its place
 * would have to repeat every kernel's arguments.
 */
#include "common/kernel/level.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *name;
    bool (*here)(void); /* the processor has it, and the system keeps its registers */
    void (*use)(void);  /* (a single level needs neither) */
} level_t;

#ifdef KERNEL_LEVELS
#include "common/kernel/level_names.h"

#include <cpuid.h>

/* ---- what the processor has ---- */

static bool here_base(void) {
    return true;
}
static bool here_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
static bool here_avx2_vnni(void) {
    enum { LEAF = 7, SUBLEAF = 1, AVX_VNNI = 1 << 4 };
    unsigned a, b, c, d;
    return here_avx2() && __get_cpuid_count(LEAF, SUBLEAF, &a, &b, &c, &d) && (a & AVX_VNNI);
}
static bool here_avx512(void) {
    return here_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
static bool here_avx512_vnni(void) {
    return here_avx512() && __builtin_cpu_supports("avx512vnni");
}

/* ---- the kernels' names ---- */

typedef void kernel_t(void); /* of any arguments: only jumped to */

/* kern_gemm: a jump to where kern_gemm_at points, at first to the base level's. */
#define JUMP(L, name)                                                                              \
    extern kernel_t name##_##L __asm__(#name "." #L);                                              \
    static kernel_t *name##_at __asm__(#name ".at") __attribute__((used)) = name##_##L;            \
    __asm__(".pushsection .text\n"                                                                 \
            ".globl " #name "\n"                                                                   \
            ".type " #name ", @function\n" #name ":\n"                                             \
            "    jmp *" #name ".at(%rip)\n"                                                        \
            ".size " #name ", . - " #name "\n"                                                     \
            ".popsection");
KERNELS(JUMP, base)

/* use_avx2(): every pointer to that level's kernel. */
#define DECLARE(L, name) extern kernel_t name##_##L __asm__(#name "." #L);
#define POINT(L, name) name##_at = name##_##L;
#define USE(L)                                                                                     \
    KERNELS(DECLARE, L)                                                                            \
    static void use_##L(void) {                                                                    \
        KERNELS(POINT, L)                                                                          \
    }
KERN_LEVELS(USE)

#define ROW(L) {#L, here_##L, use_##L},
static const level_t levels[] = {KERN_LEVELS(ROW)};

#else

static const level_t levels[] = {{"single", NULL, NULL}};

#endif

static size_t chosen;

size_t kern_levels(void) {
    return sizeof levels / sizeof *levels;
}

const char *kern_level_name(size_t level) {
    return levels[level].name;
}

bool kern_level_here(size_t level) {
    return !levels[level].here || levels[level].here();
}

size_t kern_level(void) {
    return chosen;
}

static void use(size_t level) {
    if (levels[level].use) levels[level].use();
    chosen = level;
}

/* A program that never asks has the best level all the same. */
__attribute__((constructor)) static void use_best(void) {
    size_t level = kern_levels() - 1;
    while (level > 0 && !kern_level_here(level)) level--;
    use(level);
}

int kern_level_choose(const char *name, reason_t *why) {
    size_t level = 0;
    while (level < kern_levels() && strcmp(levels[level].name, name)) level++;
    if (level == kern_levels())
        return reason_set(why, "'%s' is no level of this program; --version lists them", name);
    if (!kern_level_here(level))
        return reason_set(why, "this processor has not what '%s' needs", name);
    use(level);
    return 0;
}

void kern_level_from_environment_or_die(void) {
    const char *name = getenv("KERNEL_LEVEL");
    reason_t why;
    if (name && kern_level_choose(name, &why)) die(RC_USAGE, "KERNEL_LEVEL: %s", why.text);
}
