// What a webmail does with ImapFlow: it enables what is announced, COMPRESS,
// IMAP4rev2, QRESYNC and UTF8=ACCEPT among it. node imapflow.js BASE CA USER PASSWORD
const assert = require('node:assert');
const { once } = require('node:events');
const { readFileSync } = require('node:fs');
const { ImapFlow } = require('imapflow');
const [base, ca, user, pass] = process.argv.slice(2);

const said = [];
function open(options) {
  return new ImapFlow({
    host: 'localhost', port: Number(base) + 993, secure: true, auth: { user, pass }, tls: { ca: readFileSync(ca) }, qresync: true,
    logger: { trace() {}, info() {}, warn() {}, error() {}, debug(x) { if (x.src === 'c') said.push(x.msg); } }, ...options,
  });
}
const spoke = (text) => said.some((line) => line.includes(text));

const box = 'Größe/Ordner';
const body = 'lorem ipsum dolor sit amet\r\n'.repeat(5000);
const attached = Buffer.alloc(300000, 'plic\x00\xff', 'latin1');

async function login() {
  for (const options of [{ auth: { user, pass: 'wrong' } }, { auth: { user: 'nobody@plic.test', pass } }]) {
    await assert.rejects(open({ ...options }).connect(), (err) => err.authenticationFailed && err.serverResponseCode === 'AUTHENTICATIONFAILED');
  }
  await assert.rejects(open({ tls: {} }).connect(), { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' });
  const starttls = open({ port: Number(base) + 143, secure: false, doSTARTTLS: true });
  await starttls.connect();
  assert(starttls.secureConnection);
  await starttls.logout();
}

async function mailboxes(c) {
  assert(spoke('COMPRESS DEFLATE'), 'it does not compress');
  for (const name of ['CONDSTORE', 'QRESYNC', 'UTF8=ACCEPT']) assert(c.enabled.has(name), [...c.enabled].join());
  const uses = Object.fromEntries((await c.list()).filter((x) => x.specialUseSource === 'extension').map((x) => [x.path, x.specialUse]));
  assert.deepEqual(uses, { Archive: '\\Archive', Drafts: '\\Drafts', Junk: '\\Junk', Sent: '\\Sent', Trash: '\\Trash' });
  assert.equal((await c.mailboxCreate(['Größe', 'Alt'])).created, true);
  assert.equal((await c.mailboxCreate('Größe/Alt')).created, false);
  assert.equal((await c.mailboxRename('Größe/Alt', box)).newPath, box);
  await c.mailboxCreate('gone & forgotten');
  await c.mailboxDelete('gone & forgotten');
  await assert.rejects(c.mailboxOpen('gone & forgotten'), (err) => err.mailboxMissing && err.serverResponseCode === 'NONEXISTENT');
  await c.mailboxUnsubscribe(box);
  await c.mailboxSubscribe(box);
  const tree = await c.listTree();
  assert.equal(tree.folders.find((x) => x.name === 'Größe').folders[0].path, box);
  const listed = await c.list({ statusQuery: { messages: true, uidNext: true, highestModseq: true } });
  const inbox = listed.find((x) => x.path === 'INBOX');
  assert(inbox.status.messages >= 1 && inbox.status.highestModseq > 0n, JSON.stringify(inbox.status.messages));
  assert(spoke('RETURN (') && listed.find((x) => x.path === box).subscribed);
  const quota = await c.getQuota(box);
  assert(quota && quota.path === box, JSON.stringify(quota));
}

function letter(n) {
  return `From: Ann <ann@plic.test>\r\nTo: "Bob, Jr." <bob@plic.test>\r\nSubject: från imapflow ${n}\r\nMessage-ID: <${n}@plic.test>\r\n` +
    `Date: Mon, 2 Mar 2026 10:15:3${n} +0100\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n` +
    `--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nschön ${n}\r\n${body}\r\n` +
    `--b\r\nContent-Type: application/octet-stream; name=a.bin\r\nContent-Disposition: attachment; filename=a.bin\r\n` +
    `Content-Transfer-Encoding: base64\r\n\r\n${attached.toString('base64').replace(/.{76}/g, '$&\r\n')}\r\n--b--\r\n`;
}

async function messages(c) {
  const opened = { ...await c.mailboxOpen(box) }; // the client goes on to change its own
  assert(opened.permanentFlags.has('\\*') && opened.highestModseq > 0n && opened.mailboxId);
  for (const n of [1, 2, 3]) {
    const done = await c.append(box, letter(n), n === 1 ? ['\\Seen', '$Label1'] : [], new Date('2026-03-02T09:15:30Z'));
    assert.deepEqual([done.uid, done.seq, done.uidValidity], [n, n, opened.uidValidity]);
  }
  let seen = 0;
  for await (const m of c.fetch('1:*', { envelope: true, bodyStructure: true, source: true, flags: true, internalDate: true, size: true, threadId: true })) {
    seen++;
    assert.equal(m.envelope.subject, `från imapflow ${m.uid}`);
    assert.deepEqual(m.envelope.to, [{ name: 'Bob, Jr.', address: 'bob@plic.test' }]);
    assert.equal(m.envelope.date.toISOString(), `2026-03-02T09:15:3${m.uid}.000Z`);
    assert.equal(m.internalDate.toISOString(), '2026-03-02T09:15:30.000Z');
    assert.equal(m.source.toString(), letter(m.uid));
    assert.equal(m.size, m.source.length);
    assert.equal(m.flags.has('\\Seen') && m.flags.has('$Label1'), m.uid === 1);
    assert(m.emailId && m.threadId && m.modseq > 0n);
    assert.deepEqual(m.bodyStructure.childNodes.map((x) => [x.type, x.encoding, x.disposition]),
      [['text/plain', '8bit', undefined], ['application/octet-stream', 'base64', 'attachment']]);
  }
  assert.equal(seen, 3);
  const { meta, content } = await c.download('2', '2', { uid: true, chunkSize: 50000 });
  assert.equal(meta.filename, 'a.bin');
  assert.equal(Buffer.compare(Buffer.concat(await content.toArray()), attached), 0);
  const parts = await c.fetchOne('3', { bodyParts: ['1.mime', { key: 'text', start: 2, maxLength: 5 }], headers: ['subject', 'to'] }, { uid: true });
  assert.match(parts.headers.toString(), /^To: .*\r\nSubject: .*\r\n\r\n$/);
  assert.equal([...parts.bodyParts.values()].some((x) => x.toString() === 'b\r\nCo'), true, [...parts.bodyParts.keys()].join());

  assert.deepEqual(await c.search({ subject: 'från IMAPFLOW 2' }, { uid: true }), [2]);
  assert.deepEqual(await c.search({ body: 'schön 3' }), [3]);
  assert.deepEqual(await c.search({ or: [{ keyword: '$Label1' }, { header: { 'message-id': '3@' } }], larger: 1000, since: new Date('2026-03-01') }), [1, 3]);
  const { modseq, ...found } = await c.search({ not: { seen: true }, modseq: opened.highestModseq }, { uid: true, returnOptions: ['COUNT', 'MIN', 'MAX', 'ALL'] });
  assert.deepEqual(found, { count: 2, min: 2, max: 3, all: '2:3' });
  assert(modseq > opened.highestModseq);
  assert.equal(await c.messageFlagsAdd('2', ['\\Flagged', 'Größe'.replace(/[^ -~]/g, '_')], { uid: true }), true);
  assert.equal(await c.messageFlagsSet({ seen: false }, ['\\Answered'], { uid: true }), true);
  await c.setFlagColor('3', 'purple', { uid: true });
  await c.messageFlagsRemove('1', ['$Label1'], { uid: true });
  assert.deepEqual((await c.fetchAll('1:*', { flags: true })).map((m) => [...m.flags].sort().join()),
    ['\\Seen', '\\Answered', '$MailFlagBit0,$MailFlagBit2,\\Answered,\\Flagged'].map((x) => x));
  // With UNCHANGEDSINCE nothing changes that another has changed.
  await c.messageFlagsAdd('1', ['\\Deleted'], { uid: true, unchangedSince: opened.highestModseq });
  assert(!(await c.fetchOne('1', { flags: true }, { uid: true })).flags.has('\\Deleted'));
  return opened;
}

async function changes(c, opened) {
  const other = open();
  await other.connect();
  const modseq = (await c.status(box, { highestModseq: true })).highestModseq;
  await other.mailboxOpen(box);
  const told = (what, test) => new Promise((resolve) => { // an event that passes
    const on = (x) => { if (test(x)) { c.off(what, on); resolve(x); } };
    c.on(what, on);
  });
  const idle = c.idle();
  let wait = told('exists', (x) => x.count === 4);
  await other.append(box, letter(4));
  await wait;
  wait = told('flags', (x) => x.uid === 4 && x.flags.has('$Forwarded'));
  await other.messageFlagsAdd('4', ['$Forwarded'], { uid: true });
  assert((await wait).modseq > modseq);
  wait = told('expunge', (x) => x.vanished && x.uid === 2);
  const moved = await other.messageMove('2', 'Archive', { uid: true });
  await wait;
  assert.deepEqual([moved.path, moved.destination, [...moved.uidMap]], [box, 'Archive', [[2, 1]]]);
  await c.noop();
  await idle;
  assert.equal(c.mailbox.exists, 3);
  assert.equal((await other.messageCopy('1,3', 'Archive', { uid: true })).uidMap.size, 2);
  assert.equal((await other.status('Archive', { messages: true, unseen: true })).messages, 3);
  await other.messageDelete('3', { uid: true });
  await other.logout();

  // One that comes back is told what changed.
  await c.mailboxClose();
  const vanished = [], changed = [];
  c.on('expunge', (x) => vanished.push([x.uid, x.earlier]));
  c.on('flags', (x) => changed.push(x.uid));
  const again = await c.mailboxOpen(box, { uidValidity: opened.uidValidity, changedSince: modseq });
  assert.deepEqual([again.exists, again.qresync], [2, true]);
  assert.deepEqual([vanished.sort(), changed], [[[2, true], [3, true]], [4]]);
  assert.deepEqual((await c.fetchAll('1:*', { flags: true }, { uid: true, changedSince: modseq })).map((m) => m.uid), [4]);
}

async function main() {
  await login();
  const c = open();
  await c.connect();
  await mailboxes(c);
  await changes(c, await messages(c));
  const ended = once(c, 'close');
  await c.logout();
  await ended;
}

main().catch((err) => { console.error(err, said.map((line) => line.slice(0, 200))); process.exit(1); });
