#!/bin/sh
# Sees to the Debian packages that the tests use as peers: installs them where
# it may, else says which are missing and what to run.
set -eu

packages="postgresql mariadb-server slapd ldap-utils postfix dovecot-imapd dovecot-pop3d dovecot-lmtpd dovecot-sieve sieve-connect postgrey swaks libnet-ssleay-perl libmail-dkim-perl libnet-dns-perl opendkim opendmarc publicsuffix clamav-daemon spamassassin spamd rspamd isync offlineimap3 fetchmail mutt neomutt curl php-cli php-imap thunderbird python3 unbound libevent-2.1-7 libgnutls-dane0 libidn12 libdb5.3 ca-certificates"
packages="$packages libmail-imapclient-perl libio-socket-ssl-perl ruby imapfilter mpop" # clients and libraries
packages="$packages procmail maildrop bsd-mailx" # which share Maildirs and mbox files with us
packages="$packages cyrus-common sasl2-bin"      # to whom we deliver, and from where we import

# What is not in Debian comes from npm and PyPI, in the versions that the tests pin.
command -v npm >/dev/null 2>&1 || packages="$packages nodejs npm"
python3 -m pip --version >/dev/null 2>&1 || packages="$packages python3-pip"

missing=""
for p in $packages; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
# Exim and OpenSMTPD cannot be installed beside Postfix, nor the IMAP server of Cyrus
# beside Dovecot's: they are unpacked, and run from there. What they need is installed.
neighbours=/var/cache/plic-test/neighbours
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && ! { [ -x $neighbours/usr/sbin/smtpd ] && [ -x $neighbours/usr/sbin/exim4 ] && [ -x $neighbours/usr/lib/cyrus/bin/imapd ]; }; then
	echo "unpacking exim4, opensmtpd and cyrus-imapd for the tests"
	mkdir -p $neighbours
	chmod 755 /var/cache/plic-test $neighbours
	debs=$(mktemp -d)
	apt-get update -q >/dev/null
	(cd "$debs" && apt-get -o APT::Sandbox::User=root download -q exim4-daemon-light opensmtpd cyrus-imapd >/dev/null)
	for deb in "$debs"/*.deb; do dpkg -x "$deb" $neighbours; done
	rm -r "$debs"
fi
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "installing for the tests:$missing"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -q >/dev/null
	# No service starts: each test runs what it needs, and Cyrus and Dovecot are after
	# the same ports. A policy that is there already is the host's own.
	policy=/usr/sbin/policy-rc.d
	if ! [ -e $policy ]; then
		trap 'rm -f $policy' EXIT
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod 755 $policy
	fi
	# shellcheck disable=SC2086
	apt-get install -y -q --no-install-recommends $missing >/dev/null
	exit 0
fi
echo "The tests need these packages, which are not installed:$missing" >&2
echo "Install them as root:  apt-get install$missing" >&2
exit 1
