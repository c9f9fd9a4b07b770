"""Python's smtplib, on ports 25, 587 and 465: python3 smtp.py BASE CA USER PASSWORD OTHER"""
import smtplib
import ssl
import sys
from email.message import EmailMessage

base, ca, user, password, other = int(sys.argv[1]), *sys.argv[2:6]
host = "localhost"
trust = ssl.create_default_context(cafile=ca)


def refused(code, enhanced, call, *args, **named):
    try:
        call(*args, **named)
    except smtplib.SMTPRecipientsRefused as e:
        got = list(e.recipients.values())[0]
    except smtplib.SMTPResponseException as e:
        got = (e.smtp_code, e.smtp_error)
    else:
        raise AssertionError(f"{args} was not refused")
    assert got[0] == code and got[1].decode().startswith(enhanced), got


def letter(subject, text="hello"):
    m = EmailMessage()
    m["From"], m["To"], m["Subject"] = user, other, subject
    m.set_content(text)
    return m


# Port 587: STARTTLS, each mechanism, and what AUTH needs.
for mechanism in "PLAIN", "LOGIN":
    with smtplib.SMTP(host, base + 587, timeout=20) as s:
        s.ehlo()
        for name in "starttls", "size", "pipelining", "8bitmime", "smtputf8", "dsn", "chunking", "enhancedstatuscodes":
            assert s.has_extn(name), name
        refused(530, "5.7.0", s.sendmail, user, [other], b"Subject: x\r\n\r\n")
        s.starttls(context=trust)
        s.ehlo()
        assert not s.has_extn("starttls") and mechanism in s.esmtp_features["auth"].split(), s.esmtp_features
        s.user, s.password = user, password
        s.auth(mechanism, getattr(s, "auth_" + mechanism.lower()))
        s.send_message(letter("by " + mechanism))
        # Several messages on one connection, some to two.
        assert s.sendmail(user, [other, user], b"Subject: to two\r\n\r\n.\r\n..\r\n") == {}
        lost = s.sendmail(user, [other, "nobody@plic.test"], b"Subject: to one of two\r\n\r\nhi\r\n")
        assert list(lost) == ["nobody@plic.test"] and lost["nobody@plic.test"][0] == 550, lost
        refused(553, "5.7.1", s.sendmail, other, [user], b"Subject: forged\r\n\r\n")
        assert s.noop()[0] == 250 and s.rset()[0] == 250 and s.vrfy(other)[0] == 252
        assert s.docmd("NONSENSE")[0] == 500 and s.help()

# Port 465: TLS from the start, login as the library chooses, all kinds of mail.
with smtplib.SMTP_SSL(host, base + 465, context=trust, timeout=20) as s:
    s.login(user, password)
    m = letter("Grüße aus Python", "schöne Zeile\n" * 50)
    m.add_attachment(bytes(range(256)) * 400, maintype="application", subtype="octet-stream", filename="größe.bin")
    s.send_message(m)
    s.send_message(letter("in UTF-8"), from_addr=user, to_addrs=[other], mail_options=["SMTPUTF8", "BODY=8BITMIME"])
    s.sendmail(user, [other], "Subject: from abroad\r\n\r\nhällo\r\n".encode(), mail_options=["BODY=8BITMIME"])
    s.sendmail(user, [other], b"Subject: with DSN\r\n\r\nx\r\n", mail_options=["RET=HDRS", "ENVID=id+2B1"],
               rcpt_options=["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;" + other])
    refused(501, "5.5.4", s.sendmail, user, [other], b"x", mail_options=["SIZE=1"])  # the library gives it, too
    assert s.mail(user, ["SIZE=99999999999"])[:1] == (552,)
    refused(501, "5.5.4", s.sendmail, user, [other], b"x", mail_options=["BODY=WRONG"])

# Port 25: our own mail only.
with smtplib.SMTP(host, base + 25, timeout=20) as s:
    s.starttls(context=trust)
    s.sendmail("stranger@example.org", [other], b"From: stranger@example.org\r\nSubject: from a stranger\r\n\r\nhello\r\n")
    refused(550, "5.7.1", s.sendmail, "stranger@example.org", ["x@elsewhere.example"], b"x")
    refused(550, "5.1.1", s.sendmail, "stranger@example.org", ["nobody@plic.test"], b"x")
    assert not s.has_extn("auth")

# LMTP; the library takes one answer only, for one recipient.
with smtplib.LMTP(host, base + 24, timeout=20) as s:
    assert s.sendmail("stranger@example.org", [other], b"Subject: by LMTP\r\n\r\nhello\r\n") == {}

# A certificate of another authority is not believed.
try:
    smtplib.SMTP_SSL(host, base + 465, context=ssl.create_default_context(), timeout=20)
except ssl.SSLCertVerificationError:
    pass
else:
    raise AssertionError("the certificate was believed without our CA")
