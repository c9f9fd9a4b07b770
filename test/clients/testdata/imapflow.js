// What a webmail does with ImapFlow: it enables what is announced, COMPRESS,
// IMAP4rev2 and CONDSTORE among it, and sends and reads compressed.
const assert = require('node:assert');
const { ImapFlow } = require('imapflow');
const [port, user, pass] = process.argv.slice(2);

const said = [];
const client = new ImapFlow({
  host: '127.0.0.1', port: Number(port), secure: false, auth: { user, pass }, tls: { rejectUnauthorized: false },
  logger: { trace() {}, info() {}, warn() {}, error() {}, debug(x) { if (x.src === 'c') said.push(x.msg); } },
});

async function main() {
  await client.connect();
  assert(said.some((line) => line.endsWith('COMPRESS DEFLATE')), 'it does not compress');
  assert(client.enabled.has('CONDSTORE') && client.enabled.has('UTF8=ACCEPT'), [...client.enabled].join());
  await client.mailboxCreate('Größe/Ordner');
  await client.mailboxOpen('Größe/Ordner');
  const body = 'lorem ipsum dolor sit amet\r\n'.repeat(5000);
  for (const n of [1, 2, 3]) {
    const done = await client.append('Größe/Ordner', `From: a@b.example\r\nSubject: från imapflow ${n}\r\n\r\n${body}`, ['\\Seen']);
    assert.equal(done.uid, n);
  }
  let seen = 0;
  for await (const m of client.fetch('1:*', { envelope: true, bodyStructure: true, source: true, flags: true })) {
    seen++;
    assert.equal(m.envelope.subject, `från imapflow ${m.uid}`);
    assert(m.source.toString().endsWith(body));
    assert(m.flags.has('\\Seen'));
  }
  assert.equal(seen, 3);
  assert.deepEqual(await client.search({ subject: 'imapflow 2' }, { uid: true }), [2]);
  await client.messageFlagsAdd('2', ['\\Flagged'], { uid: true });
  const moved = await client.messageMove('2', 'Archive', { uid: true });
  assert.equal(moved.uidMap.size, 1);
  assert.equal((await client.status('Archive', { messages: true })).messages, 1);
  await client.messageDelete('3', { uid: true });
  assert.equal(client.mailbox.exists, 1);
  assert((await client.list()).some((box) => box.path === 'Größe/Ordner'));
  await client.logout();
}

main().catch((err) => { console.error(err, said); process.exit(1); });
