#!/bin/sh
# Sees to the Debian packages that the tests use as peers: installs them where
# it may, else says which are missing and what to run.
set -eu

packages="postfix dovecot-imapd dovecot-pop3d dovecot-lmtpd dovecot-sieve sieve-connect postgrey swaks libnet-ssleay-perl isync offlineimap3 fetchmail mutt curl php-cli python3 unbound ca-certificates"

# What is not in Debian comes from npm and PyPI, in the versions that the tests pin.
command -v npm >/dev/null 2>&1 || packages="$packages nodejs npm"
python3 -m pip --version >/dev/null 2>&1 || packages="$packages python3-pip"

missing=""
for p in $packages; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "installing for the tests:$missing"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -q >/dev/null
	# shellcheck disable=SC2086
	apt-get install -y -q --no-install-recommends $missing >/dev/null
	exit 0
fi
echo "The tests need these packages, which are not installed:$missing" >&2
echo "Install them as root:  apt-get install$missing" >&2
exit 1
