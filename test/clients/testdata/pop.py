"""Python's poplib, over TLS and STLS: python3 pop.py BASE CA USER PASSWORD. At least three messages are there."""
import poplib
import ssl
import sys

base, ca, user, password = int(sys.argv[1]), *sys.argv[2:5]
host = "localhost"
trust = ssl.create_default_context(cafile=ca)


def refused(start, call, *args):
    try:
        call(*args)
    except poplib.error_proto as e:
        assert e.args[0].decode().startswith(start), e
    else:
        raise AssertionError(f"{args} was not refused")


def session(p, login):
    for name in "USER", "SASL", "UIDL", "TOP", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE":
        assert name in p.capa(), p.capa()
    login(p)
    count, octets = p.stat()
    sizes = [int(line.split()[1]) for line in p.list()[1]]
    assert count == len(sizes) >= 3 and octets == sum(sizes), (count, octets, sizes)
    ids = [line.split()[1] for line in p.uidl()[1]]
    assert len(set(ids)) == count
    assert p.uidl(2).split()[2] == ids[1]
    for i in range(count):
        _, lines, octets = p.retr(i + 1)
        assert octets == sizes[i] == sum(len(line) + 2 for line in lines), (octets, sizes[i])
        top = p.top(i + 1, 1)[1]
        header = lines.index(b"")
        assert top == lines[:header + 2], top
    refused("-ERR", p.retr, count + 1)
    refused("-ERR", p.dele, 0)
    p.dele(1)
    refused("-ERR", p.retr, 1)
    p.rset()
    assert p.stat()[0] == count
    p.noop()
    p.dele(count)
    p.quit()
    return ids[:-1]


def userpass(p):
    p.user(user)
    p.pass_(password)



p = poplib.POP3_SSL(host, base + 995, context=trust, timeout=20)
left = session(p, userpass)

p = poplib.POP3(host, base + 110, timeout=20)
assert "STLS" in p.capa()
p.stls(context=trust)
assert "STLS" not in p.capa()
userpass(p)
assert [line.split()[1] for line in p.uidl()[1]] == left  # stable, and the last is gone
refused("-ERR [IN-USE]", userpass, poplib.POP3_SSL(host, base + 995, context=trust, timeout=20))
p.dele(1)
p.close()  # without QUIT nothing is deleted

p = poplib.POP3_SSL(host, base + 995, context=trust, timeout=20)
userpass(p)
assert p.stat()[0] == len(left)
p.quit()

p = poplib.POP3_SSL(host, base + 995, context=trust, timeout=20)
p.user(user)
refused("-ERR [AUTH]", p.pass_, "wrong")
p.quit()

try:
    poplib.POP3_SSL(host, base + 995, context=ssl.create_default_context(), timeout=20)
except ssl.SSLCertVerificationError:
    pass
else:
    raise AssertionError("the certificate was believed without our CA")
