"""Delta Chat's core from PyPI: python3 deltachat.py BASE HOME USER PASSWORD OTHER PASSWORD."""
import os
import sys

from deltachat_rpc_client import DeltaChat, EventType, Rpc
from deltachat_rpc_client.const import DownloadState
from deltachat_rpc_client.rpc import JsonRpcError

base, home = int(sys.argv[1]), sys.argv[2]
people = [sys.argv[3:5], sys.argv[5:7]]


def transport(user, password):
    return {
        "addr": user, "password": password, "certificateChecks": "acceptInvalidCertificates",  # it trusts no CA of ours
        "imapServer": "localhost", "imapPort": base + 993, "imapSecurity": "ssl", "imapUser": user,
        "smtpServer": "localhost", "smtpPort": base + 587, "smtpSecurity": "starttls", "smtpUser": user, "smtpPassword": password,
    }


with Rpc(accounts_dir=os.path.join(home, "accounts")) as rpc:
    core = DeltaChat(rpc)
    accounts = []
    for user, password in people:
        account = core.add_account()
        if not accounts:
            try:
                rpc.add_or_update_transport(account.id, transport(user, "wrong"))
            except JsonRpcError as e:
                assert "[AUTHENTICATIONFAILED]" in str(e), e
            else:
                raise AssertionError("a wrong password was taken")
        rpc.add_or_update_transport(account.id, transport(user, password))
        accounts.append(account)
    ann, bob = accounts
    for account in accounts:
        account.bring_online()

    # The keys are exchanged by four messages, each of which wakes the other's IDLE.
    bob.secure_join(ann.get_qr_code())
    ann.wait_for_securejoin_inviter_success()
    bob.wait_for_securejoin_joiner_success()
    chat = ann.create_contact(bob).create_chat()
    chat.send_text("Grüße 漢字")
    got = bob.wait_for_incoming_msg().get_snapshot()
    assert got.text == "Grüße 漢字" and got.show_padlock, got
    got.chat.accept()
    got.chat.send_text("zurück")
    assert ann.wait_for_incoming_msg().get_snapshot().text == "zurück"

    content = os.urandom(10 << 20)
    name = os.path.join(home, "größe.bin")
    with open(name, "wb") as f:
        f.write(content)
    chat.send_message(text="large", file=name)
    message = bob.wait_for_incoming_msg()
    while (got := message.get_snapshot()).download_state != DownloadState.DONE:  # it first tells what it is
        bob.wait_for_event(EventType.MSGS_CHANGED)
    with open(got.file, "rb") as f:
        assert f.read() == content
    message.mark_seen()
    for n in range(5):
        chat.send_text(f"number {n}")
    assert [bob.wait_for_incoming_msg().get_snapshot().text for n in range(5)] == [f"number {n}" for n in range(5)]

    # What is written without a connection goes out with the next.
    ann.stop_io()
    chat.send_text("later")
    ann.start_io()
    assert bob.wait_for_incoming_msg().get_snapshot().text == "later"
