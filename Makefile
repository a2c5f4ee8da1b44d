# vqvae, tokenize and gato: one Makefile, no recursion, everything it makes is under build/.
#
#   make                          the three programs in build/bin
#   make help                     this text
#   make quick                    under a minute: build, the unit tests of what changed, floors, format
#   make test                     unit tests and program tests
#   make asan                     the same tests under AddressSanitizer and UBSan
#   make tsan                     unit tests of the thread pool and the kernels under ThreadSanitizer
#   make arm64                    cross-builds for AArch64; unit tests and a policy under qemu (build/arm64)
#   make fuzz SECONDS=30          fuzz every reader of foreign bytes, so long each
#   make check                    all of that but tsan: what CI runs
#   make coverage                 lines that the unit tests run, in build/coverage
#   make lint LINT_BASE=main      clang-tidy on the C files that changed since LINT_BASE
#   make format                   clang-format on every C file
#   make format-check             what it would change, torn banners, long lines and files
#   make compile_commands.json    build/compile_commands.json, for editors and clang-tidy
#   make demo                     the whole pipeline on the simulated arm, in minutes
#   make reacher                  the same at full length; ROUNDS=N with rounds of DAgger
#   make three                    one model on three bodies beside a model for each, in under an hour
#   make improve                  a policy that learns the pusher from its own successes, in rounds
#   make babyai                   a policy for missions of BabyAI; also metaworld, atari; BUDGET=MINUTES
#   make compare                  ways to show images to a policy, over seeds, SUITES='arm babyai metaworld'
#   make generalist               one policy on all suites beside one for each task, and a task that it never saw
#   make results                  their tables into pipelines/RESULTS.md
#   make imagine                  a policy that predicts images, held against the true future of unseen episodes
#   make recipe NAME=vq-64-f8     a tokenizer by a recipe of pipelines/configs
#   make quantizers               every quantizer on the same images (build/quantizers/quantizers.md)
#   make tokenizers               grids of codes and ordered codes on the same images (build/tokenizers/*.md)
#   make cross-domain             tokenizers of one kind of images measured on another
#   make data-large               larger folders of images out of Debian packages, in build/data-large
#   make bench                    speed and memory beside PyTorch's, build/bench.json
#   make install PREFIX= DESTDIR= the programs to PREFIX/bin; make uninstall takes them away
#   make clean                    removes build/
#
# The programs run on any processor of this kind (common/kernel/level.h). B=FOLDER builds elsewhere.

B        ?= build
CC       ?= cc
CFLAGS   ?= -O3 -g
WARN      = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wno-unused-parameter -Wno-psabi
PKGS      = openblas libpng libjpeg libcjson libxxhash
LMDB_LIBS = -llmdb
PKG_CONFIG ?= pkg-config

have      = $(shell $(PKG_CONFIG) --exists $(1) 2>/dev/null && echo yes)
try_link  = $(shell echo 'int main(void){return 0;}' | $(CC) -xc - -o /dev/null $(1) 2>/dev/null && echo yes)

# Optional libraries: absent ones leave a clear message in the commands that need them.
WITH_HDF5   ?= $(call have,hdf5)
WITH_LIBARCHIVE ?= $(call have,libarchive)
WITH_WEBP   ?= $(call have,libwebp libwebpdemux)
WITH_PCRE2  ?= $(call have,libpcre2-8)
WITH_MUJOCO ?= $(call try_link,-lmujoco -lOSMesa)

# := here: pkg-config is asked once for each list, not once for each file.
DEFS := -D_GNU_SOURCE
LIBS := $(shell $(PKG_CONFIG) --libs $(PKGS)) $(LMDB_LIBS) -lz -lm
INCS := -I. $(shell $(PKG_CONFIG) --cflags $(PKGS))
ifeq ($(WITH_HDF5),yes)
DEFS += -DWITH_HDF5
INCS += $(shell $(PKG_CONFIG) --cflags hdf5)
LIBS += $(shell $(PKG_CONFIG) --libs hdf5)
endif
ifeq ($(WITH_LIBARCHIVE),yes)
DEFS += -DWITH_LIBARCHIVE
INCS += $(shell $(PKG_CONFIG) --cflags libarchive)
LIBS += $(shell $(PKG_CONFIG) --libs libarchive)
endif
ifeq ($(WITH_WEBP),yes)
DEFS += -DWITH_WEBP
INCS += $(shell $(PKG_CONFIG) --cflags libwebp libwebpdemux)
LIBS += $(shell $(PKG_CONFIG) --libs libwebp libwebpdemux)
endif
ifeq ($(WITH_PCRE2),yes)
DEFS += -DWITH_PCRE2
INCS += $(shell $(PKG_CONFIG) --cflags libpcre2-8)
LIBS += $(shell $(PKG_CONFIG) --libs libpcre2-8)
endif
ifeq ($(WITH_MUJOCO),yes)
DEFS += -DWITH_MUJOCO
GATO_LIBS = -lmujoco -lOSMesa
endif

# On x86-64 the kernels are compiled once per level, and with what it needs of the processor (level.c asks for the same).
# With LEVELS= (sanitizers, coverage), and elsewhere, they are compiled once like all the rest. ARCH=-march=native is for
# that: nothing else gains from it.
ifeq ($(firstword $(subst -, ,$(shell $(CC) -dumpmachine))),x86_64)
LEVELS     ?= base avx2 avx2_vnni avx512 avx512_vnni
endif
LEVEL_base        =
# A debugger sees all of a kernel with KERNEL_LEVEL=base; for every level that would double the size of the programs.
LEVEL_avx2        = -mavx2 -mfma $(if $(filter -g,$(CFLAGS)),-g1)
LEVEL_avx2_vnni   = $(LEVEL_avx2) -mavxvnni
LEVEL_avx512      = $(LEVEL_avx2) -mavx512f -mavx512bw -mavx512dq -mavx512vl
LEVEL_avx512_vnni = $(LEVEL_avx512) -mavx512vnni

ifneq ($(LEVELS),)
DEFS += -DKERNEL_LEVELS
endif
ALL_CFLAGS = -std=gnu11 $(CFLAGS) $(ARCH) $(WARN) $(DEFS) $(INCS) -ffp-contract=fast -fno-math-errno -MMD -MP
LINK       = $(CC) $(CFLAGS) $(ARCH) $(LDFLAGS)

PROGRAMS   = vqvae tokenize gato
COMMON_C  := $(wildcard common/*/*.c common/*/*/*.c)
ifneq ($(LEVELS),)
# The sources that are compiled once per level: FILE.c to FILE.LEVEL.o.
LEVEL_C   := $(filter-out %/level.c,$(wildcard common/kernel/*.c))
COMMON_O  := $(patsubst %.c,$(B)/%.o,$(filter-out $(LEVEL_C),$(COMMON_C))) \
             $(foreach l,$(LEVELS),$(LEVEL_C:%.c=$(B)/%.$(l).o))
define LEVEL
$(B)/%.$(1).o: %.c $(B)/flags
	@mkdir -p $$(@D)
	$$(CC) $$(ALL_CFLAGS) $$(LEVEL_$(1)) -DKERNEL_LEVEL='"$(1)"' -include common/kernel/level_names.h -c -o $$@ $$<
endef
$(foreach l,$(LEVELS),$(eval $(call LEVEL,$(l))))
else
COMMON_O  := $(COMMON_C:%.c=$(B)/%.o)
endif
PROGRAM_C := $(foreach p,$(PROGRAMS),$(wildcard $(p)/*.c $(p)/*/*.c))
TEST_C    := $(wildcard tests/test_*.c tests/examples/*.c)
TESTS     := $(TEST_C:tests/%.c=$(B)/tests/%)
BENCH_C   := tests/bench/bench.c

.PHONY: all FORCE help programs tests same-flags test quick check asan tsan arm64 arm64-tests fuzz coverage lint compile_commands.json bench demo reacher three imagine improve babyai metaworld atari compare generalist results recipe \
        cross-domain data-large quantizers tokenizers format format-check install uninstall clean
.SECONDARY:
all: programs
help:
	@sed -n '3,/^$$/s/^# \{0,3\}//p' Makefile
programs: $(PROGRAMS:%=$(B)/bin/%)

$(B)/libcommon.a: $(COMMON_O)
	@rm -f $@
	@$(AR) rcs $@ $^

define PROGRAM
$(B)/bin/$(1): $$(patsubst %.c,$(B)/%.o,$$(wildcard $(1)/*.c $(1)/*/*.c)) $(B)/libcommon.a
	@mkdir -p $$(@D)
	$$(LINK) -o $$@ $$^ $$($(2)_LIBS) $$(LIBS)
endef
$(eval $(call PROGRAM,vqvae,VQVAE))
$(eval $(call PROGRAM,tokenize,TOKENIZE))
$(eval $(call PROGRAM,gato,GATO))

# Objects of other flags are made again.
FLAGS = $(CC) $(ALL_CFLAGS)$(foreach l,$(LEVELS),; $(l) $(LEVEL_$(l)))
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(FLAGS)' | cmp -s - $@ || echo '$(FLAGS)' >$@
FORCE:

$(B)/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

# Unit tests see common/ and the programs' own modules (all but their main.c).
UNIT_O := $(patsubst %.c,$(B)/%.o,$(filter-out %/main.c,$(PROGRAM_C)))
$(B)/tests/%: $(B)/tests/%.o $(UNIT_O) $(B)/libcommon.a
	@mkdir -p $(@D)
	$(LINK) -o $@ $^ $(GATO_LIBS) $(LIBS)
$(B)/tests/test_vmath: $(or $(LEVELS:%=$(B)/tests/vmath_level.%.o),$(B)/tests/vmath_level.o)
# The tests' own code: GCC 12 for AArch64 fails in the vectorizer over some of their loops.
$(B)/tests/%.o: private ALL_CFLAGS += $(TEST_CFLAGS)
# The bench measures this machine, its own loops too.
$(B)/tests/bench/bench.o: private ALL_CFLAGS += -march=native
tests: $(TESTS)

-include $(COMMON_O:.o=.d) $(wildcard $(B)/tests/vmath_level.*d) $(PROGRAM_C:%.c=$(B)/%.d) $(TEST_C:%.c=$(B)/%.d) $(BENCH_C:%.c=$(B)/%.d)

# For tests/run.sh: was $(B) built with the flags of today?
same-flags:
	@echo '$(FLAGS)' | cmp -s - $(B)/flags

test: programs tests
	sh tests/run.sh $(B)

# Instrumented kernels: those that this processor would choose are enough.
SINGLE = LEVELS= ARCH=-march=native
asan:
	CFLAGS="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined" $(MAKE) $(SINGLE) B=$(B)/asan programs tests
	SANITIZED=1 ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 sh tests/run.sh $(B)/asan

# What a change needs before it is committed. LINT_BASE=COMMIT: changed since then; else since main, on main since its
# last commit but one (tests/changed.sh).
quick:
	sh tests/quick.sh $(B)

TSAN_TESTS = test_base test_kernel test_vmath test_packed test_conv test_norm test_attention test_attention_cache test_loss test_gan_kernel
tsan:
	CFLAGS="-O1 -g -fsanitize=thread" $(MAKE) $(SINGLE) B=$(B)/tsan $(TSAN_TESTS:%=$(B)/tsan/tests/%)
	SANITIZED=1 TSAN_OPTIONS=die_after_fork=0 sh tests/run.sh $(B)/tsan -x $(TSAN_TESTS)

# AArch64 from the same sources, by Debian's cross compiler and libraries of its own in ARM64_ROOT; qemu runs it.
ARM64_ROOT  ?= build/arm64-root
ARM64_TESTS  = $(shell sh tests/arm64.sh --list)
arm64: programs
	sh pipelines/setup_arm64.sh $(ARM64_ROOT)
	PKG_CONFIG_SYSROOT_DIR=$(abspath $(ARM64_ROOT)) PKG_CONFIG_PATH= \
	PKG_CONFIG_LIBDIR=$(abspath $(ARM64_ROOT))/usr/lib/aarch64-linux-gnu/pkgconfig:$(abspath $(ARM64_ROOT))/usr/share/pkgconfig \
	    $(MAKE) TEST_CFLAGS=-O1 CC="aarch64-linux-gnu-gcc --sysroot=$(abspath $(ARM64_ROOT))" AR=aarch64-linux-gnu-ar B=$(B)/arm64 programs arm64-tests
	sh tests/arm64.sh $(B) $(ARM64_ROOT)
arm64-tests: $(ARM64_TESTS:%=$(B)/tests/%)

# Counted by clang: CLANG=NAME chooses another.
CLANG ?= clang
coverage:
	CFLAGS="-O1 -g -fprofile-instr-generate -fcoverage-mapping" $(MAKE) CC=$(CLANG) $(SINGLE) B=$(B)/coverage tests
	sh tests/coverage.sh $(B)/coverage

compile_commands.json:
	@mkdir -p $(B)
	sh tests/compile_commands.sh $(B) > $(B)/$@.part
	@mv $(B)/$@.part $(B)/$@
lint: compile_commands.json
	sh tests/lint.sh $(B)

# SECONDS=3600 for long runs
fuzz:
	sh tests/fuzz.sh $(B) $(or $(SECONDS),30)

# Ours beside PyTorch's: make bench BENCH_ROWS=conv,train BENCH_VENV=DIR (tests/README.md).
bench: programs $(B)/tests/bench/bench
	sh tests/bench/bench.sh $(B)

check:
	sh pipelines/test.sh

# The pipeline on the simulated arm: in minutes, and at full length. SEED= and D= choose another run.
demo: programs
	$(MAKE) --no-print-directory -f pipelines/arm.mk NAME=demo
reacher: programs
	$(MAKE) --no-print-directory -f pipelines/arm.mk NAME=reacher
three: programs
	$(MAKE) --no-print-directory -f pipelines/three.mk
babyai metaworld atari: programs
	$(MAKE) --no-print-directory -f pipelines/suite.mk SUITE=$@
# Ways to show images to a policy beside one another: SUITES='arm babyai metaworld', SEEDS= STEPS= or BUDGET=MINUTES, VARIANTS= (pipelines/compare.mk).
SUITES ?= arm
compare: programs
	for suite in $(SUITES); do $(MAKE) --no-print-directory -f pipelines/compare.mk SUITE=$$suite || exit 1; done
generalist: programs
	$(MAKE) --no-print-directory -f pipelines/generalist.mk SUITES='$(SUITES)'
# Their tables and conclusions, from what they measured into pipelines/RESULTS.md.
results: programs
	BIN=$(B)/bin sh pipelines/results.sh $(B)
improve: programs
	$(MAKE) --no-print-directory -f pipelines/improve.mk
imagine: programs
	$(MAKE) --no-print-directory -f pipelines/imagine.mk
# Every quantizer on the same images: STEPS=600 SEEDS="1 2 3" D=build/quantizers.
quantizers: programs
	B=$(B) sh pipelines/quantizers.sh
# A grid of codes and ordered codes: the same variables, D=build/tokenizers.
tokenizers: programs
	B=$(B) sh pipelines/tokenizers.sh

# A tokenizer by a recipe of pipelines/configs (pipelines/recipe.mk); tokenizers of one kind of images measured on another.
recipe: programs
	$(MAKE) --no-print-directory -f pipelines/recipe.mk
cross-domain: programs
	sh pipelines/cross_domain.sh
# Larger folders of images out of Debian packages, in build/data-large: make data-large SETS='clipart photos sprites games'
data-large:
	sh pipelines/data_large.sh $(SETS)

SOURCES = $(wildcard common/*/*.[ch] common/*/*/*.[ch] vqvae/*.[ch] tokenize/*.[ch] gato/*.[ch] gato/*/*.[ch] tests/*.[ch] tests/examples/*.c tests/fuzz/*.c tests/bench/*.c tests/interop/*.c)
format:
	clang-format -i $(SOURCES)
format-check:
	sh tests/check_format.sh

PREFIX ?= /usr/local
install: programs
	install -d $(DESTDIR)$(PREFIX)/bin
	install $(PROGRAMS:%=$(B)/bin/%) $(DESTDIR)$(PREFIX)/bin
uninstall:
	rm -f $(PROGRAMS:%=$(DESTDIR)$(PREFIX)/bin/%)

clean:
	rm -rf build
