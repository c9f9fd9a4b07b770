"""Python's imaplib, over TLS and STARTTLS: python3 imap.py BASE CA USER PASSWORD"""
import imaplib
import ssl
import sys
import time

base, ca, user, password = int(sys.argv[1]), *sys.argv[2:5]
host = "localhost"
trust = ssl.create_default_context(cafile=ca)


def ok(answer):
    status, data = answer
    assert status == "OK", answer
    return data


def no(call, *args, code=""):
    try:
        status, data = call(*args)
    except imaplib.IMAP4.error as e:
        status, data = "NO", [str(e).encode()]
    assert status == "NO" and code in data[0].decode(), (status, data)


def session(m):
    ok(m.login(user, password))
    assert m.state == "AUTH"
    if "UTF8=ACCEPT" in m.capabilities:
        ok(m.enable("UTF8=ACCEPT"))
    for name in "IMAP4REV1", "IMAP4REV2", "IDLE", "UIDPLUS", "MOVE", "CONDSTORE", "ESEARCH", "NAMESPACE", "SPECIAL-USE":
        assert name in ok(m.capability())[0].decode().upper().split(), name
    assert b'("" "/")' in ok(m.namespace())[0]
    assert any(b"\\Sent" in line for line in ok(m.list('""', "*")))
    for name in "box", "box/inner", '"with space"', "&AOQ-":
        ok(m.create(name))
        ok(m.subscribe(name))
    no(m.create, "box", code="ALREADYEXISTS")
    assert any(b"box/inner" in line for line in ok(m.lsub('""', "*")))
    ok(m.rename("box/inner", "box/other"))
    no(m.select, "box/inner", code="NONEXISTENT")

    for i in range(5):
        flags = r"(\Seen $Label1)" if i == 1 else None
        when = '" 2-Mar-2026 10:15:30 +0100"' if i == 1 else None
        body = f"From: a{i}@example.org\r\nSubject: note {i}\r\nDate: Mon, 2 Mar 2026 10:15:3{i} +0100\r\n\r\nline {i}\r\n"
        answer = ok(m.append("box", flags, when, body.encode()))
        assert answer[0].startswith(b"[APPENDUID "), answer
    no(m.append, "no-such", None, None, b"x", code="TRYCREATE")
    assert ok(m.status("box", "(MESSAGES UNSEEN UIDNEXT SIZE)"))[0].startswith(b"box (MESSAGES 5 UNSEEN 4 UIDNEXT 6 SIZE ")

    assert ok(m.select("box")) == [b"5"]
    assert m.response("UIDVALIDITY")[1][0].isdigit()
    got = ok(m.fetch("2", "(FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY.PEEK[])"))
    assert time.mktime(imaplib.Internaldate2tuple(got[0][0])) == 1772442930 and b"\\Seen" in got[0][0] and b"$Label1" in got[0][0], got
    assert got[0][1].endswith(b"line 1\r\n"), got
    assert ok(m.fetch("1", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)] BODY.PEEK[TEXT]<0.4>)"))[0][1] == b"Subject: note 0\r\n\r\n"
    assert ok(m.search(None, "UNSEEN")) == [b"1 3 4 5"]
    assert ok(m.search(None, "OR", "SUBJECT", '"note 3"', "BODY", '"line 4"')) == [b"4 5"]
    assert ok(m.search(None, "KEYWORD", "$Label1", "SINCE", "1-Mar-2026")) == [b"2"]
    m.literal = "größe".encode()
    assert ok(m.search("UTF-8", "TEXT")) == [b""]
    no(m.search, "X-UNKNOWN", "ALL", code="BADCHARSET")
    assert ok(m.uid("SEARCH", "4:*")) == [b"4 5"]
    assert b"\\Answered" in ok(m.store("3", "+FLAGS", r"(\Answered \Deleted)"))[0]
    assert ok(m.copy("1:2", "box/other"))[0].startswith(b"[COPYUID ") or m.response("COPYUID")
    no(m.copy, "1", "no-such", code="TRYCREATE")
    assert ok(m.expunge()) == [b"3"]
    ok(m.uid("STORE", "4", "FLAGS", r"(\Deleted)"))
    ok(m.uid("EXPUNGE", "5"))
    assert ok(m.search(None, "ALL")) == [b"1 2 3 4"]
    ok(m.uid("MOVE", "5", "box/other"))
    assert ok(m.close())
    assert ok(m.select("box", readonly=True)) == [b"2"]
    no(m.store, "1", "+FLAGS", r"(\Seen)")
    ok(m.unselect())
    assert ok(m.select("box/other")) == [b"3"]
    ok(m.noop())
    ok(m.check())
    ok(m.close())
    for name in "box/other", "box", '"with space"', "&AOQ-":
        ok(m.unsubscribe(name))
        ok(m.delete(name))
    assert m.logout()[0] == "BYE"


session(imaplib.IMAP4_SSL(host, base + 993, ssl_context=trust, timeout=20))

m = imaplib.IMAP4(host, base + 143, timeout=20)
ok(m.starttls(ssl_context=trust))
session(m)

# SASL, with and without an initial response.
m = imaplib.IMAP4_SSL(host, base + 993, ssl_context=trust, timeout=20)
ok(m.authenticate("PLAIN", lambda _: b"\0" + user.encode() + b"\0" + password.encode()))
ok(m.select())
m.logout()

m = imaplib.IMAP4_SSL(host, base + 993, ssl_context=trust, timeout=20)
no(m.authenticate, "PLAIN", lambda _: b"\0" + user.encode() + b"\0wrong", code="AUTHENTICATIONFAILED")
no(m.login, "nobody@plic.test", "wrong", code="AUTHENTICATIONFAILED")
m.logout()

try:
    imaplib.IMAP4_SSL(host, base + 993, ssl_context=ssl.create_default_context(), timeout=20)
except ssl.SSLCertVerificationError:
    pass
else:
    raise AssertionError("the certificate was believed without our CA")
