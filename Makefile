# mydocker: one static binary. On a fresh Debian each target first installs what it needs, and prints
# which packages these are.
#
#   make             the static binary, target/$(TARGET)/release/mydocker
#   make demo        build it, then run nginx on its own network, and use ping, curl, exec and logs
#   make test        run the unit and integration tests, as root on this kernel; TESTS chooses some,
#                    as TESTS="--lib --test network"
#   make test-hosts  test the binary on small hosts: virtual machines that boot in seconds
#   make bench       measure mydocker, crun, runc and podman, and compare with the budgets
#   make fuzz        run each fuzz target of TARGETS for TIME seconds: parsers of archives, names,
#                    templates and Dockerfiles
#   make mutants     remove one guard at a time and check that a test fails; GUARDS chooses them
#   make check       check formatting, lints and dependencies (deny.toml)
#   make release     build both architectures, stripped, with SHA-256 sums, in target/dist
#   make reproducible  build releases in two directories and compare their bytes
#   make install     install into $(DESTDIR)$(PREFIX)
#
# make TARGET=aarch64-unknown-linux-musl builds for 64-bit Arm.

SHELL := /bin/bash
TARGET ?= $(shell uname -m)-unknown-linux-musl
PREFIX ?= /usr/local
binary := target/$(TARGET)/release/mydocker
export PATH := $(PATH):$(HOME)/.cargo/bin
sudo := $(if $(filter-out 0,$(shell id -u)),sudo)

# Packages that the tests use: images are made of busybox and Debian, the formats are compared with
# docker.io (36 MB), and Podman's pods and --init need catatonit.
test_packages := apache2-utils buildah busybox-static catatonit containerd curl debootstrap \
    docker-compose docker-registry docker.io e2fsprogs file fish python3-yaml \
    gcc-aarch64-linux-gnu libc6-dev-arm64-cross \
    iproute2 iptables iputils-ping libcap2-bin mandoc nftables openssl \
    podman qemu-user-static skopeo strace umoci util-linux zsh zstd
# QEMU, and the tools that make the disks of its virtual machines.
host_packages := dosfstools e2fsprogs f2fs-tools openssl qemu-system-arm qemu-system-x86 \
    secilc squashfs-tools xfsprogs
demo_packages := curl debootstrap iptables iputils-ping
# libFuzzer needs a C++ compiler.
fuzz_packages := g++ libc6-dev
# The peers, and the tools that measure them.
bench_packages := buildah busybox-static crun docker-compose docker-registry docker.io iperf3 \
    iproute2 iptables podman runc skopeo time umoci util-linux

# What `make packages` installs; a target that needs packages names its own.
packages = $(sort $(test_packages) $(host_packages) $(bench_packages))

# The C compiler for the TLS library; a build without this library needs none. Build scripts are
# linked with the C library of this machine.
compiler_for = $(if $(filter aarch64-%,$(1)),gcc-aarch64-linux-gnu libc6-dev-arm64-cross,musl-tools)
c_compiler := libc6-dev $(call compiler_for,$(TARGET))

# Programs that a target runs are found only in the packages that are named here, even if this
# machine has others. So a package that is missing above fails here as on a fresh machine.
declared = PATH="$$(tests/support/declared-programs target/programs/$@ $(packages) $(c_compiler))"

.PHONY: all bench check fuzz mutants test test-hosts demo release reproducible install clean toolchain

all: toolchain
	cargo build --release --target $(TARGET)
	@ls -l $(binary)

# cargo-deny is a debug build: it compiles faster, and is fast enough.
check: toolchain
	@cargo clippy --version >/dev/null 2>&1 && cargo fmt --version >/dev/null 2>&1 || \
	    rustup -q component add clippy rustfmt
	cargo fmt --all --check
	cargo clippy --all-targets --target $(TARGET) -- -D warnings
	cargo clippy --test hosts --target $(TARGET) -- -D warnings
	cargo clippy --no-default-features --target $(TARGET) -- -D warnings
	@cargo deny --version >/dev/null 2>&1 || cargo install -q --locked --debug cargo-deny
	cargo deny -L error check bans licenses sources

# Only the tests run as root, by cargo's runner, so that the user owns the files of the build. A
# shell starts a background job with SIGINT ignored, and nohup ignores SIGHUP, but the tests send
# both.
test: packages := $(test_packages)
test: toolchain packages
	@$(MAKE) --no-print-directory toolchain TARGET=aarch64-unknown-linux-musl
	$(declared) && \
	$(if $(sudo),CARGO_TARGET_$(shell tr a-z- A-Z_ <<<$(TARGET))_RUNNER="sudo -E env PATH=$$PATH") \
	    env --default-signal=HUP,INT,QUIT cargo test --no-fail-fast --target $(TARGET) $(TESTS) -- --test-threads=$$((2 * $$(nproc)))

# Debian's kernels are downloaded from its archive into target/hosts. HOSTS chooses the hosts.
test-hosts: packages := $(host_packages)
test-hosts: toolchain packages
	@[ -d "$$(rustc --print sysroot)/lib/rustlib/aarch64-unknown-linux-musl" ] || \
	    rustup -q target add aarch64-unknown-linux-musl
	$(declared) cargo test --release --target $(TARGET) --test hosts -- $(HOSTS)

demo: packages := $(demo_packages)
demo: all packages
	$(declared) && $(sudo) env "PATH=$$PATH" tests/demo $(binary)

# Takes hours; writes to target/mutants. tests/mutants/run describes the steps and the format of the
# lists.
mutants: packages := $(test_packages)
mutants: toolchain packages
	$(declared) && $(sudo) env "PATH=$$PATH" tests/mutants/run $(GUARDS)

# cargo bench builds with the release profile. MYDOCKER_BENCH_ROUNDS is the number of turns per
# figure.
bench: packages := $(bench_packages)
bench: toolchain packages
	$(declared) && \
	$(if $(sudo),CARGO_TARGET_$(shell tr a-z- A-Z_ <<<$(TARGET))_RUNNER="sudo -E env PATH=$$PATH") \
	    cargo bench -q --bench bench --target $(TARGET) -- $(TOPICS)

# Leak detection is off, because it reports threads that are about to end. Inputs that reach new
# code are kept in target/fuzz. An input that makes a target fail belongs in the target's corpus.
TIME ?= 600
TARGETS ?= unpack load documents reference template dockerfile
fuzz: packages := $(fuzz_packages)
fuzz: toolchain packages
	@cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
	@rustup toolchain list | grep -q ^nightly || \
	    rustup -q toolchain install nightly --profile minimal
	$(declared) && for target in $(TARGETS); do mkdir -p target/fuzz/$$target; \
	    $(sudo) env "PATH=$$PATH" CARGO_TARGET_DIR=target/fuzz/build \
	    cargo +nightly fuzz run --fuzz-dir tests/fuzz $$target \
	    target/fuzz/$$target tests/fuzz/corpus/$$target -- \
	    -max_len=20000 -timeout=20 -detect_leaks=0 -max_total_time=$(TIME) -print_final_stats=1 || exit 1; \
	done

# A release contains no path of this machine: neither the source's directory nor cargo's.
RELEASE_TARGETS ?= x86_64-unknown-linux-musl aarch64-unknown-linux-musl
cargo_home := $(or $(CARGO_HOME),$(HOME)/.cargo)
release_flags = "--remap-path-prefix=$(CURDIR)=/mydocker", "--remap-path-prefix=$(cargo_home)=/cargo"
dist := target/dist
release:
	@rm -rf $(dist) && mkdir -p $(dist)
	for target in $(RELEASE_TARGETS); do \
	    $(MAKE) --no-print-directory toolchain TARGET=$$target && \
	    CFLAGS="-ffile-prefix-map=$(CURDIR)=/mydocker -ffile-prefix-map=$(cargo_home)=/cargo" \
	        cargo build --release --locked --target $$target --target-dir target/release-build \
	            --config 'target.'$$target'.rustflags = [$(release_flags)]' && \
	    install -m 755 target/release-build/$$target/release/mydocker \
	        $(dist)/mydocker-$${target%%-*} || exit 1; \
	done
	cd $(dist) && sha256sum mydocker-* | tee SHA256SUMS

# Each of REPRODUCIBLE_TARGETS is built twice, each time from a fresh copy of the files in git. Both
# builds run at the same time, because rustc optimises the whole program on one CPU.
REPRODUCIBLE_TARGETS ?= $(TARGET)
reproducible: toolchain
	@work=$$(mktemp -d) && trap 'rm -rf "$$work"' EXIT && \
	for copy in one another/further-down; do \
	    mkdir -p $$work/$$copy && git ls-files -z | xargs -0 tar -c | tar -x -C $$work/$$copy && \
	    $(MAKE) --no-print-directory -C $$work/$$copy release \
	        RELEASE_TARGETS="$(REPRODUCIBLE_TARGETS)" & \
	done; \
	failed=0; for build in $$(jobs -p); do wait $$build || failed=1; done; \
	[ $$failed = 0 ] && \
	cmp $$work/{one,another/further-down}/$(dist)/SHA256SUMS && echo "reproducible: 1 passed, 0 failed"

install: all
	install -D -m 755 $(binary) $(DESTDIR)$(PREFIX)/bin/mydocker
	install -d $(DESTDIR)$(PREFIX)/share/man/man1 \
	    $(DESTDIR)$(PREFIX)/share/bash-completion/completions \
	    $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d \
	    $(DESTDIR)$(PREFIX)/share/zsh/site-functions
	$(binary) man >$(DESTDIR)$(PREFIX)/share/man/man1/mydocker.1
	$(binary) completion bash \
	    >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/mydocker
	$(binary) completion fish \
	    >$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/mydocker.fish
	$(binary) completion zsh >$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_mydocker

clean:
	cargo clean

# The user installs Rust; this target installs Rust's standard library and the C compiler for
# $(TARGET).
toolchain:
	@command -v rustup >/dev/null || { \
	    echo "make: rust is missing: install rustup, it brings cargo" >&2; exit 1; }
	@command -v $(if $(filter aarch64-%,$(TARGET)),aarch64-linux-gnu-gcc,musl-gcc) \
	    >/dev/null || $(MAKE) --no-print-directory packages packages="$(c_compiler)"
	@[ -d "$$(rustc --print sysroot)/lib/rustlib/$(TARGET)" ] || { \
	    echo "make: adding rust's target $(TARGET)"; rustup -q target add $(TARGET); }

# Installs the packages of $(packages) that are missing.
.PHONY: packages
packages:
	@missing=$$(comm -23 <(printf '%s\n' $(packages) | sort) \
	    <(dpkg-query -W -f '$${db:Status-Status} $${Package}\n' $(packages) 2>/dev/null | \
	      sed -n 's/^installed //p' | sort)); \
	[ -z "$$missing" ] || { echo "make: installing" $$missing; \
	    command -v apt-get >/dev/null || { \
	        echo "make: this is no Debian: install these by hand"; exit 1; }; \
	    apt="apt-get -qq -o Acquire::Retries=3"; \
	    $(sudo) $$apt update && $(sudo) env DEBIAN_FRONTEND=noninteractive \
	        $$apt install --no-install-recommends $$missing >/dev/null; }
