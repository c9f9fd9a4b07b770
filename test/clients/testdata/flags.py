"""Prints the Message-ID and flags of all of INBOX: python3 flags.py BASE CA USER PASSWORD"""
import imaplib
import re
import ssl
import sys

base, ca, user, password = int(sys.argv[1]), *sys.argv[2:5]
m = imaplib.IMAP4_SSL("localhost", base + 993, ssl_context=ssl.create_default_context(cafile=ca), timeout=60)
m.login(user, password)
assert m.select(readonly=True)[0] == "OK"
for line in m.fetch("1:*", "(FLAGS ENVELOPE)")[1]:
    flags, envelope = re.fullmatch(rb"\d+ \(FLAGS \(([^)]*)\) ENVELOPE \((.*)\)\)", line).groups()
    print(re.search(rb'"<([^"]*)>"$', envelope)[1].decode(), flags.decode(), sep="\t")
m.logout()
