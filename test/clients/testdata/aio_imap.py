"""aioimaplib from PyPI: python3 aio_imap.py BASE CA USER PASSWORD."""
import asyncio
import ssl
import sys

from aioimaplib import IMAP4_SSL

base, ca, user, password = int(sys.argv[1]), *sys.argv[2:5]


async def login(word=password, want="OK"):
    c = IMAP4_SSL("localhost", base + 993, timeout=20, ssl_context=ssl.create_default_context(cafile=ca))
    await c.wait_hello_from_server()
    done = await c.login(user, word)
    assert done.result == want, done
    return c, done


async def ok(call):
    done = await call
    assert done.result == "OK", done
    return done.lines


def letter(n):
    return f"From: a{n}@example.org\r\nSubject: number {n}\r\nMessage-ID: <{n}@example.org>\r\n\r\nline {n}\r\n".encode()


async def main():
    c, done = await login("wrong", "NO")
    assert b"[AUTHENTICATIONFAILED]" in done.lines[-1], done
    await c.logout()
    c, _ = await login()
    assert (await ok(c.id(name="aioimaplib")))[0].startswith(b'("name" "plic"')
    assert (await ok(c.namespace()))[0] == b'(("" "/")) (("user/" "/")) NIL'
    box = '"Gr&APYA3w-e"'
    await ok(c.create(box))
    assert len(await ok(c.list('""', "*"))) == 7 + 1
    for n in range(1, 6):
        assert b"APPENDUID" in (await ok(c.append(letter(n), mailbox=box, flags="\\Seen" if n == 2 else None)))[0]
    await ok(c.enable("CONDSTORE"))
    assert b"5 EXISTS" in await ok(c.select(box))
    assert (await ok(c.search('SUBJECT "NUMBER 3"', charset="utf-8")))[0] == b"3"
    assert (await ok(c.uid_search("UNSEEN")))[0] == b"1 3 4 5"
    lines = await ok(c.uid("fetch", "1:3", "(BODY[] FLAGS)"))
    assert [bytes(x) for x in lines[1:9:3]] == [letter(n) for n in (1, 2, 3)], lines
    assert all(b"FLAGS (\\Seen" in x for x in lines[0:9:3]), lines
    assert b"FLAGS (\\Seen $Forwarded" in (await ok(c.store("1", "+FLAGS", "($Forwarded)")))[0]
    assert b"COPYUID" in (await ok(c.copy("1:2", "Archive")))[0]
    assert b"COPYUID" in (await ok(c.uid("move", "3", "Archive")))[0]
    await ok(c.uid("store", "4", "+FLAGS.SILENT", "(\\Deleted)"))
    assert b"3 EXPUNGE" in await ok(c.expunge())
    await ok(c.getquotaroot("INBOX"))

    # IDLE: what another does comes at once.
    other, _ = await login()
    idle = await c.idle_start(timeout=20)
    await ok(other.append(letter(6), mailbox=box))
    told = await c.wait_server_push()
    assert b"4 EXISTS" in told, told
    c.idle_done()
    assert (await asyncio.wait_for(idle, 20)).result == "OK"
    await other.logout()
    await ok(c.close())
    await ok(c.delete(box))
    await ok(c.logout())


asyncio.run(main())
