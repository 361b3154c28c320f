# SPDX-License-Identifier: GPL-2.0-only
# Thin front of CMake (userspace, tests) and Kbuild (module).
#
#   make         build userspace into build/
#   make test    install what is missing, build plain and sanitized, run every test
#   make test-debug   the module on a kernel with KASAN, lockdep and injected faults (slow)
#   make coverage     which lines of core/ and the library its tests execute (10 minutes)
#   make demo    two virtual machines, one swapping into the other's RAM
#   make bench   compare every way in with its peers: build/bench/report.md (an hour)
#   make module  build ramster_rdma.ko for KDIR (default: the running kernel)
#   make fuzz    fuzz for FUZZ_SECONDS (default 60) per target
#   make format  lay out all C code as .clang-format says
#   make install         programs, settings, unit, man pages below PREFIX (default /usr); root
#   make module-install  the module, for KDIR; root
#   make clean

BUILD	:= build
SAN	:= $(BUILD)/san
KDIR	?= /lib/modules/$(shell uname -r)/build
JOBS	?= $(shell nproc)
LABEL	?= .
PREFIX	?= /usr

all:
	cmake -S . -B $(BUILD) -DBUILD_TESTING=OFF
	cmake --build $(BUILD) -j $(JOBS)

san:
	cmake -S . -B $(SAN) -DRAMSTER_SANITIZE=ON -DRAMSTER_LAB_BUILD=$(CURDIR)/$(BUILD)
	cmake --build $(SAN) -j $(JOBS)

deps:
	scripts/deps.sh

# LABEL picks tests by label (unit, fuzz, check, lab): make test LABEL=unit
test: deps
	$(MAKE) all san
	tests/run.sh $(SAN) -j $(JOBS) -L '$(LABEL)' -LE '^debug$$'

# Not part of "test": the first run compiles a kernel for half an hour.
test-debug: deps
	$(MAKE) all san
	tests/run.sh $(SAN) -L '^debug$$'

coverage: deps
	$(MAKE) all
	python3 tests/coverage.py

fuzz: san
	tests/run.sh $(SAN) -L fuzz

# The seeds come from the sample messages of the unit tests.
fuzz-seeds: san
	cmake --build $(SAN) --target wire-seeds
	$(SAN)/tests/unit/wire-seeds tests/fuzz/corpus/wire

demo: deps
	$(MAKE) all
	python3 tests/vm/demo.py

bench: deps
	$(MAKE) all
	python3 bench/rounds.py

module:
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules

format:
	git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format-14 -i

# The daemon reads its settings from /etc, wherever it is installed.
install: all
	cmake -S . -B $(BUILD) -DCMAKE_INSTALL_PREFIX=$(PREFIX) -DCMAKE_INSTALL_SYSCONFDIR=/etc
	cmake --install $(BUILD)

# Debian's headers lack the System.map that kbuild wants for depmod, and have no name of their
# kernel that is right in all releases: it is done for each kernel that has the module.
module-install: module
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules_install
	find /lib/modules/ -name 'ramster_rdma.ko*' | cut -d/ -f4 | sort -u | xargs -rn1 depmod -a

clean:
	rm -rf $(BUILD)

.PHONY: all san deps test test-debug coverage fuzz fuzz-seeds demo bench module format \
	install module-install clean
