"""IMAPClient from PyPI: python3 imap_client.py BASE CA USER PASSWORD OTHER PASSWORD. USER may have 10 MB."""
import datetime
import ssl
import sys

from imapclient import IMAPClient, SocketTimeout
from imapclient.exceptions import IMAPClientError, LoginError

base, ca, user, password, other, secret = int(sys.argv[1]), *sys.argv[2:7]
trust = ssl.create_default_context(cafile=ca)


def login(who=user, word=password):
    c = IMAPClient("localhost", base + 993, ssl_context=trust, timeout=SocketTimeout(20, 20))
    c.login(who, word)
    c.normalise_times = False
    return c


def refused(code, call, *args):
    try:
        call(*args)
    except IMAPClientError as e:
        assert code in str(e), (code, e)
    else:
        raise AssertionError(f"{args} was not refused")


def letter(n, subject, references=""):
    return (f"From: {'zyx'[n % 3]} <a{n}@example.org>\r\nTo: ann@plic.test\r\nSubject: {subject}\r\nMessage-ID: <{n}@example.org>\r\n{references}"
            f"Date: {9 - n} Mar 2026 10:15:30 +0100\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{'größe ' * n}\r\n").encode()


c = IMAPClient("localhost", base + 143, ssl=False, timeout=20)
c.starttls(trust)
try:
    c.login(user, "wrong")
except LoginError as e:
    assert "AUTHENTICATIONFAILED" in str(e), e
else:
    raise AssertionError("a wrong password was taken")
c.plain_login(user, password)
c.logout()

c = login()
print(c.id_({"name": "IMAPClient"}))
assert c.namespace().personal == (("", "/"),) and c.namespace().other == (("user/", "/"),), c.namespace()
for flag, name in ((b"\\Sent", "Sent"), (b"\\Trash", "Trash"), (b"\\Junk", "Junk"), (b"\\Drafts", "Drafts"), (b"\\Archive", "Archive")):
    assert c.find_special_folder(flag) == name
c.create_folder("Größe")
c.create_folder("Größe/日本 & mehr")
refused("ALREADYEXISTS", c.create_folder, "Größe")
c.subscribe_folder("Größe/日本 & mehr")
assert "Größe/日本 & mehr" in [name for _, _, name in c.list_folders()]
assert "Größe/日本 & mehr" in [name for _, _, name in c.list_sub_folders()]
c.rename_folder("Größe/日本 & mehr", "Größe/neu")
assert c.folder_exists("Größe/neu") and not c.folder_exists("Größe/日本 & mehr")
c.delete_folder("Größe/neu")

# Many in one APPEND.
when = datetime.datetime(2026, 3, 2, 10, 15, 30, tzinfo=datetime.timezone.utc)
c.multiappend("Größe", [
    {"msg": letter(1, "one"), "flags": [b"\\Seen", b"$Label1"], "date": when},
    letter(2, "Re: one", "References: <1@example.org>\r\n"),
    letter(3, "another"),
    letter(4, "Re: one", "In-Reply-To: <2@example.org>\r\n"),
])
assert c.append("Größe", letter(5, "fünf"), (b"\\Flagged",), when).startswith(b"[APPENDUID "), "no APPENDUID"
refused("TRYCREATE", c.append, "nowhere", letter(6, "lost"))
status = c.folder_status("Größe", [b"MESSAGES", b"UNSEEN", b"UIDNEXT", b"HIGHESTMODSEQ", b"SIZE"])
assert (status[b"MESSAGES"], status[b"UNSEEN"], status[b"UIDNEXT"]) == (5, 4, 6), status
opened = c.select_folder("Größe")
assert opened[b"EXISTS"] == 5 and opened[b"UIDNEXT"] == 6 and opened[b"HIGHESTMODSEQ"] >= 1 and b"\\*" in opened[b"PERMANENTFLAGS"], opened

got = c.fetch([1, 5], ["ENVELOPE", "BODYSTRUCTURE", "FLAGS", "INTERNALDATE", "RFC822.SIZE", "BODY.PEEK[]", "BODY.PEEK[HEADER.FIELDS (SUBJECT)]", "EMAILID", "THREADID", "SAVEDATE", "PREVIEW"])
one, five = got[1], got[5]
assert one[b"ENVELOPE"].subject == b"one" and one[b"ENVELOPE"].from_[0].mailbox == b"a1" and one[b"ENVELOPE"].date.day == 8, one
assert one[b"INTERNALDATE"] == when and b"$Label1" in one[b"FLAGS"] and one[b"BODY[]"] == letter(1, "one") and one[b"RFC822.SIZE"] == len(letter(1, "one"))
assert five[b"BODY[HEADER.FIELDS (SUBJECT)]"] == "Subject: fünf\r\n\r\n".encode() and not five[b"BODYSTRUCTURE"].is_multipart, five
assert one[b"EMAILID"] != five[b"EMAILID"] and one[b"PREVIEW"].decode().startswith("größe"), one

assert c.search(["UNSEEN", "SUBJECT", "one"]) == [2, 4]
assert c.search(["TEXT", "GRÖSSE größe"], "UTF-8") == [] and c.search(["BODY", "GRÖßE größe größe größe größe"], "UTF-8") == [5]
assert c.search(["OR", ["KEYWORD", "$Label1"], ["FLAGGED"], "SINCE", datetime.date(2026, 3, 1)]) == [1, 5]
first = c.search(["MODSEQ", "1"])
assert first == [1, 2, 3, 4, 5] and first.modseq >= opened[b"HIGHESTMODSEQ"], first
assert c.sort("DATE") == [5, 4, 3, 2, 1] and c.sort(["REVERSE SIZE"]) == [4, 2, 5, 3, 1], (c.sort("DATE"), c.sort(["REVERSE SIZE"]))
assert c.sort(["SUBJECT", "REVERSE DATE"], ["NOT", "FLAGGED"]) == [3, 1, 2, 4]
assert c.sort("DISPLAYFROM")[:2] == [2, 5], c.sort("DISPLAYFROM")
assert sorted(map(str, c.thread("REFERENCES"))) == ["(1, 2, 4)", "(3,)", "(5,)"], c.thread("REFERENCES")
assert c.thread("ORDEREDSUBJECT", ["NOT", "FLAGGED"]) == ((4, (2,), (1,)), (3,)), c.thread("ORDEREDSUBJECT", ["NOT", "FLAGGED"])



def lasting(flags):
    return {uid: sorted(f for f in kept if f != b"\\Recent") for uid, kept in flags.items()}


assert lasting(c.add_flags([2, 3], [b"\\Answered", b"project"]))[3] == [b"\\Answered", b"project"]
assert lasting(c.remove_flags(3, [b"\\Answered"])) == {3: [b"project"]}
assert lasting(c.set_flags(3, [b"\\Draft"])) == {3: [b"\\Draft"]} and lasting(c.get_flags(2)) == {2: [b"\\Answered", b"project"]}
assert sorted(c.fetch([1, 2, 3, 4, 5], ["FLAGS"], [f"CHANGEDSINCE {first.modseq}"])) == [2, 3]
c.copy([1, 2], "Archive")
c.move([3], "Archive")
assert c.folder_status("Archive", [b"MESSAGES"]) == {b"MESSAGES": 3}
c.delete_messages([4])
c.uid_expunge([4])
assert c.search() == [1, 2, 5]

# What another does comes while this one waits.
d = login()
d.select_folder("Größe")
c.idle()
d.add_flags(5, [b"\\Seen"])
d.delete_messages(1)
d.expunge()
d.append("Größe", letter(6, "six"))
heard = []
while (4 - 1, b"EXISTS") not in heard:
    heard += c.idle_check(timeout=20)
text, rest = c.idle_done()
assert (1, b"EXPUNGE") in heard + rest and any(x[1] == b"FETCH" and b"\\Seen" in x[2][3] for x in heard if x[0] == 3), heard
assert c.search() == [2, 5, 6]
d.unselect_folder()

# Quotas, and the rights of another.
roots, quotas = c.get_quota_root("INBOX")
assert roots.mailbox == "INBOX" and roots.quota_roots, roots
assert any(q.resource == "STORAGE" and q.limit == 10240 and 0 <= q.usage < q.limit for q in quotas), quotas
refused("", c.set_quota, quotas)
assert c.getacl("Größe")[0][0] == user.encode(), c.getacl("Größe")
e = login(other, secret)
theirs = f"user/{user}/Größe"
refused("NONEXISTENT", e.select_folder, theirs)
c.setacl("Größe", other, "lr")
assert dict(c.getacl("Größe"))[other.encode()] == b"lr"
assert theirs in [name for _, _, name in e.list_folders("", "user/*")], e.list_folders("", "*")
refused("is not writable", e.select_folder, theirs)
assert e.select_folder(theirs, readonly=True)[b"EXISTS"] == 3
refused("", e.add_flags, [2], [b"\\Flagged"])
refused("NOPERM", e.append, theirs, letter(7, "no"))
c.setacl("Größe", other, "lrwi")
e.select_folder(theirs)
assert b"\\Flagged" in e.add_flags([2], [b"\\Flagged"])[2]
e.append(theirs, letter(7, "yes"))
c.noop()
assert len(c.search()) == 4
e.unselect_folder()  # who is in a mailbox that is taken away is cut off
c.setacl("Größe", other, '""')
refused("NONEXISTENT", e.folder_status, theirs, [b"MESSAGES"])
for session in c, d, e:
    session.logout()
