#!/usr/bin/env bash
# setup/deb.sh PROGRAM OUTDIR: puts a built recorder into a Debian package, with its unit, man pages and completions.
#
# The same PROGRAM and the same commit give the same bytes: times are those of the commit (SOURCE_DATE_EPOCH), owners are root.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
# shellcheck source=setup/lib.sh
. setup/lib.sh

[ $# -eq 2 ] || die 2 "a program and a directory are wanted" "setup/deb.sh target/release/record out/packages"
program=$(readlink -f "$1") out=$2
[ -x "$program" ] || die 4 "$1: no program there" "cargo build --release -p record"
for tool in dpkg-deb dpkg-shlibdeps strip gzip; do
	command -v "$tool" >/dev/null || die 3 "$tool is missing" "apt-get install dpkg-dev binutils"
done
mkdir -p "$out"

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)
architecture=$(dpkg --print-architecture)
maintainer="${DEBFULLNAME:-the Retroscope contributors} <${DEBEMAIL:-retroscope@localhost}>"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
doc=$root/usr/share/doc/retroscope-record

# put MODE FILE PLACE
put() { install -D -m "$1" "$2" "$root/$3"; }
# squeeze FILE PLACE: a text, compressed the same way each time
squeeze() {
	mkdir -p "$(dirname "$root/$2")"
	gzip -9n <"$1" >"$root/$2"
	chmod 0644 "$root/$2"
}

umask 022
put 0755 "$program" usr/bin/record
strip --strip-unneeded --remove-section=.comment --remove-section=.note "$root/usr/bin/record"
sed 's|/usr/local/bin/record|/usr/bin/record|g; s|/usr/local/share/doc/retroscope/README.md|/usr/share/doc/retroscope-record/README.md|; /^#   /d' \
	record/dist/retroscope-record.service >"$work/unit"
put 0644 "$work/unit" usr/lib/systemd/system/retroscope-record.service
put 0644 record/dist/filters.toml etc/retroscope/filters.toml
"$program" man --output "$work/man" >/dev/null
for page in "$work"/man/*.1; do
	squeeze "$page" "usr/share/man/man1/$(basename "$page").gz"
done
"$program" completions bash >"$work/bash"
put 0644 "$work/bash" usr/share/bash-completion/completions/record
"$program" completions zsh >"$work/zsh"
put 0644 "$work/zsh" usr/share/zsh/vendor-completions/_record
"$program" completions fish >"$work/fish"
put 0644 "$work/fish" usr/share/fish/vendor_completions.d/record.fish
put 0644 record/README.md "${doc#"$root/"}/README.md"
put 0644 record/IDENTITY.md "${doc#"$root/"}/IDENTITY.md"
put 0644 record/dist/prometheus.yml "${doc#"$root/"}/examples/prometheus.yml"
put 0644 record/dist/grafana.json "${doc#"$root/"}/examples/grafana.json"
squeeze CHANGELOG.md "${doc#"$root/"}/CHANGELOG.md.gz"
printf 'retroscope-record (%s) unstable; urgency=medium\n\n  * See CHANGELOG.md.gz.\n\n -- %s  %s\n' \
	"$version" "$maintainer" "$(date -uR -d "@$SOURCE_DATE_EPOCH")" >"$work/changelog"
squeeze "$work/changelog" "${doc#"$root/"}/changelog.gz"
{
	cat record/dist/debian/copyright
	sed -n '/^Redistribution and use/,$p' record-bpf/LICENSE-BPF | sed 's/^$/./; s/^/ /'
} >"$work/copyright"
put 0644 "$work/copyright" "${doc#"$root/"}/copyright"
# What is linked in, with the licence that each crate states.
cargo tree --locked --offline -p record -e normal --prefix none --format '{p} {l}' 2>/dev/null |
	sed 's| (/[^)]*)||; s| (\*)$||' | sort -u >"$work/crates"
put 0644 "$work/crates" "${doc#"$root/"}/crates.txt"

mkdir -p "$work/debian" "$root/DEBIAN"
printf 'Source: retroscope\nPackage: retroscope-record\nArchitecture: any\n' >"$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O root/usr/bin/record 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
[ -n "$depends" ] || die 1 "dpkg-shlibdeps found no dependencies of $1" "is it a dynamic program of this system?"
size=$(du -sk --apparent-size "$root" | cut -f1)
sed "s|{version}|$version|; s|{architecture}|$architecture|; s|{depends}|$depends|; s|{size}|$size|
	s|{maintainer}|$maintainer|" \
	record/dist/debian/control >"$root/DEBIAN/control"
echo /etc/retroscope/filters.toml >"$root/DEBIAN/conffiles"
for script in postinst prerm postrm; do
	install -m 0755 "record/dist/debian/$script" "$root/DEBIAN/$script"
done
(cd "$root" && find usr etc -type f | LC_ALL=C sort | xargs md5sum) >"$root/DEBIAN/md5sums"

# dpkg-deb only takes back what is newer than the epoch.
find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
package=$out/retroscope-record_${version}_$architecture.deb
dpkg-deb --root-owner-group "${DEB_COMPRESSION:--Zxz}" --build "$root" "$package" >/dev/null
echo "$package"
