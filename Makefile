# mydocker: one static binary. On a fresh Debian each target first installs what it needs, and says so.
#
#   make             the static binary, target/$(TARGET)/release/mydocker
#   make demo        build it, then show it: nginx on a network of its own, ping, curl, exec, logs
#   make test        unit and integration tests, as root on this kernel
#   make test-hosts  the same binary on small hosts: virtual machines that boot in seconds
#   make bench       mydocker, crun, runc and podman side by side, against the budgets
#   make fuzz        TIME seconds for each fuzz target of TARGETS, on the readers of archives, names, templates and Dockerfiles
#   make mutants     one guard at a time taken out: does a test miss it? GUARDS chooses
#   make check       formatting, lints, and what may enter the binary (deny.toml)
#   make release     both architectures, stripped, with sha256 sums, below target/dist
#   make reproducible  two releases built in two directories have the same bytes
#   make install     into $(DESTDIR)$(PREFIX)
#
# make TARGET=aarch64-unknown-linux-musl builds for 64-bit Arm by rust's own linker.

SHELL := /bin/bash
TARGET ?= $(shell uname -m)-unknown-linux-musl
PREFIX ?= /usr/local
binary := target/$(TARGET)/release/mydocker
export PATH := $(PATH):$(HOME)/.cargo/bin
sudo := $(if $(filter-out 0,$(shell id -u)),sudo)

# What the tests run against: busybox and Debian as images, stress in them, Arm's programs here.
# docker.io, 36 MB, is what the formats are compared with. Podman's pods and --init need catatonit.
test_packages := apache2-utils buildah busybox-static catatonit containerd curl debootstrap \
    docker-compose docker-registry docker.io e2fsprogs file fish python3-yaml \
    gcc-aarch64-linux-gnu libc6-dev-arm64-cross \
    iproute2 iptables iputils-ping libcap2-bin mandoc nftables openssl \
    podman qemu-user-static skopeo strace umoci util-linux zsh zstd
# Virtual machines in software, and the tools that make their disks.
host_packages := dosfstools e2fsprogs f2fs-tools openssl qemu-system-arm qemu-system-x86 \
    squashfs-tools
demo_packages := curl debootstrap iptables iputils-ping
# The C++ compiler of libFuzzer.
fuzz_packages := g++ libc6-dev
# The peers, and what they are measured with.
bench_packages := buildah busybox-static crun docker-compose docker-registry docker.io iperf3 \
    iproute2 iptables podman runc skopeo time umoci util-linux

# What compiles the C of the TLS library for a target; a build without it needs none. Build scripts are
# linked with this machine's own C library.
compiler_for = $(if $(filter aarch64-%,$(1)),gcc-aarch64-linux-gnu libc6-dev-arm64-cross,musl-tools)
c_compiler := libc6-dev $(call compiler_for,$(TARGET))

# What a target runs finds the programs of the packages named here and no others, whatever else this
# machine has: a package that is missing above fails here as on a fresh machine.
declared = PATH="$$(tests/support/declared-programs target/programs/$@ $(packages) $(c_compiler))"

.PHONY: all bench check fuzz mutants test test-hosts demo release reproducible install clean toolchain

all: toolchain
	cargo build --release --target $(TARGET)
	@ls -l $(binary)

check: toolchain
	@cargo clippy --version >/dev/null 2>&1 && cargo fmt --version >/dev/null 2>&1 || \
	    rustup -q component add clippy rustfmt
	cargo fmt --all --check
	cargo clippy --all-targets --target $(TARGET) -- -D warnings
	cargo clippy --test hosts --target $(TARGET) -- -D warnings
	cargo clippy --no-default-features --target $(TARGET) -- -D warnings
	@cargo deny --version >/dev/null 2>&1 || cargo install -q --locked cargo-deny
	cargo deny -L error check bans licenses sources

# As root by the runner, so that what is built belongs to who builds it.
test: packages := $(test_packages)
test: toolchain packages
	@$(MAKE) --no-print-directory toolchain TARGET=aarch64-unknown-linux-musl
	$(declared) && \
	$(if $(sudo),CARGO_TARGET_$(shell tr a-z- A-Z_ <<<$(TARGET))_RUNNER="sudo -E env PATH=$$PATH") \
	    cargo test --no-fail-fast --target $(TARGET) -- --test-threads=$$((2 * $$(nproc)))

# Debian's kernels come from its archive and stay below target/hosts. HOSTS chooses.
test-hosts: packages := $(host_packages)
test-hosts: toolchain packages
	@[ -d "$$(rustc --print sysroot)/lib/rustlib/aarch64-unknown-linux-musl" ] || \
	    rustup -q target add aarch64-unknown-linux-musl
	$(declared) cargo test --release --target $(TARGET) --test hosts -- $(HOSTS)

demo: packages := $(demo_packages)
demo: all packages
	$(declared) && $(sudo) env "PATH=$$PATH" tests/demo $(binary)

# Hours; below target/mutants. tests/mutants/run says how, and what the lists beside it hold.
mutants: packages := $(test_packages)
mutants: toolchain packages
	$(declared) && $(sudo) env "PATH=$$PATH" tests/mutants/run $(GUARDS)

# By cargo's own build of the same profile; MYDOCKER_BENCH_ROUNDS turns for each figure.
bench: packages := $(bench_packages)
bench: toolchain packages
	$(declared) && \
	$(if $(sudo),CARGO_TARGET_$(shell tr a-z- A-Z_ <<<$(TARGET))_RUNNER="sudo -E env PATH=$$PATH") \
	    cargo bench -q --bench bench --target $(TARGET) -- $(TOPICS)

# Leaks are not looked for: a thread on its way out looks like one. What a fuzzer finds of interest stays
# below target/fuzz; what breaks a target belongs in its corpus.
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

# Nothing of the machine is in a release: neither the source's directory nor cargo's.
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

# REPRODUCIBLE_TARGETS are built twice, each time from a fresh copy of the files that git tracks.
REPRODUCIBLE_TARGETS ?= $(TARGET)
reproducible: toolchain
	@work=$$(mktemp -d) && trap 'rm -rf "$$work"' EXIT && \
	for copy in one another/further-down; do \
	    mkdir -p $$work/$$copy && git ls-files -z | xargs -0 tar -c | tar -x -C $$work/$$copy && \
	    $(MAKE) --no-print-directory -C $$work/$$copy release \
	        RELEASE_TARGETS="$(REPRODUCIBLE_TARGETS)" || exit 1; \
	done && \
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

# Rust itself is the user's own affair; its standard library for the target and the C compiler for it
# are not.
toolchain:
	@command -v rustup >/dev/null || { \
	    echo "make: rust is missing: install rustup, it brings cargo" >&2; exit 1; }
	@command -v $(if $(filter aarch64-%,$(TARGET)),aarch64-linux-gnu-gcc,musl-gcc) \
	    >/dev/null || $(MAKE) --no-print-directory packages packages="$(c_compiler)"
	@[ -d "$$(rustc --print sysroot)/lib/rustlib/$(TARGET)" ] || { \
	    echo "make: adding rust's target $(TARGET)"; rustup -q target add $(TARGET); }

# Those of $(packages) that aren't installed.
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
