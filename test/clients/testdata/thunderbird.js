// What Thunderbird does with an account, told by its own parts. It runs inside
// of it; arguments: host, base of ports, CA in base 64, user, password, and the
// function that gets "" or what went wrong, and what was seen.
const [host, base, ca, user, password, peer] = arguments;
const done = arguments[arguments.length - 1];
const { MailServices } = ChromeUtils.importESModule('resource:///modules/MailServices.sys.mjs');

function check(ok, what) {
  if (!ok) throw new Error(what);
}

// until waits for what Thunderbird does in its own time.
async function until(what, ready) {
  for (const began = Date.now(); ; await new Promise((wake) => setTimeout(wake, 20))) {
    const got = ready();
    if (got) return got;
    check(Date.now() - began < 40000, `it waits for ${what}`);
  }
}

// told is a listener that is told of the end of an operation.
function told() {
  const { promise, resolve, reject } = Promise.withResolvers();
  const end = (status) => (Components.isSuccessCode(status) ? resolve() : reject(new Error(`it failed with 0x${status.toString(16)}`)));
  const listener = {
    QueryInterface: ChromeUtils.generateQI(['nsIUrlListener', 'nsIMsgCopyServiceListener', 'nsIMsgSendListener']),
    OnStartRunningUrl() {}, OnStopRunningUrl(_url, status) { end(status); },
    onStartCopy() {}, onProgress() {}, setMessageKey() {}, getMessageId() {}, onStopCopy: end,
    onStartSending() {}, onSendProgress() {}, onStatus() {}, onGetDraftFolderURI() {}, onSendNotPerformed() {},
    onStopSending(_id, status) { end(status); }, onTransportSecurityError() {},
  };
  return { promise, listener };
}

const headers = (folder) => [...folder.messages];
const named = (folder, subject) => headers(folder).find((h) => h.mime2DecodedSubject === subject);

async function update(folder) {
  const { promise, listener } = told();
  folder.QueryInterface(Ci.nsIMsgImapMailFolder).updateFolderWithListener(null, listener);
  await promise;
}

async function account() {
  Cc['@mozilla.org/security/x509certdb;1'].getService(Ci.nsIX509CertDB).addCertFromBase64(ca, 'CT,,');
  const incoming = MailServices.accounts.createIncomingServer(user, host, 'imap');
  incoming.port = base + 993;
  incoming.socketType = Ci.nsMsgSocketType.SSL;
  incoming.authMethod = Ci.nsMsgAuthMethod.passwordCleartext;
  incoming.password = password;
  const outgoing = MailServices.outgoingServer.createServer('smtp').QueryInterface(Ci.nsISmtpServer);
  outgoing.hostname = host;
  outgoing.port = base + 587;
  outgoing.QueryInterface(Ci.nsIMsgOutgoingServer);
  outgoing.socketType = Ci.nsMsgSocketType.alwaysSTARTTLS;
  outgoing.authMethod = Ci.nsMsgAuthMethod.passwordCleartext;
  outgoing.username = user;
  outgoing.password = password;
  const identity = MailServices.accounts.createIdentity();
  identity.email = user;
  identity.fullName = 'Ännchen';
  identity.smtpServerKey = outgoing.key;
  const made = MailServices.accounts.createAccount();
  made.addIdentity(identity);
  made.incomingServer = incoming;
  return { incoming, identity, made };
}

async function send({ identity, made }, subject) {
  const fields = Cc['@mozilla.org/messengercompose/composefields;1'].createInstance(Ci.nsIMsgCompFields);
  Object.assign(fields, { from: `Ännchen <${user}>`, to: peer, cc: user, subject, fcc: made.incomingServer.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.SentMail).URI });
  const { promise, listener } = told();
  Cc['@mozilla.org/messengercompose/send;1'].createInstance(Ci.nsIMsgSend).createAndSendMessage(
    null, identity, made.key, fields, false, false, Ci.nsIMsgSend.nsMsgDeliverNow, null, 'text/plain', 'Grüße an alle.\n', null, null, listener, '', '', Ci.nsIMsgCompType.New);
  await promise;
}

// whole reads a message as the window of a message does.
async function whole(header) {
  const uri = header.folder.getUriForMsg(header);
  const { promise, resolve, reject } = Promise.withResolvers();
  let text = '';
  const stream = Cc['@mozilla.org/scriptableinputstream;1'].createInstance(Ci.nsIScriptableInputStream);
  MailServices.messageServiceFromURI(uri).streamMessage(uri, {
    QueryInterface: ChromeUtils.generateQI(['nsIStreamListener']),
    onStartRequest() {},
    onDataAvailable(_request, input, _at, count) { stream.init(input); text += stream.readBytes(count); },
    onStopRequest(_request, status) { Components.isSuccessCode(status) ? resolve(text) : reject(new Error('the message cannot be read')); },
  }, null, null, false, '', false);
  return promise;
}

async function folders(root) {
  root.server.performExpand(null);
  for (const use of ['Inbox', 'SentMail', 'Drafts', 'Trash', 'Junk', 'Archive']) {
    await until(`the folder for ${use}`, () => root.getFolderWithFlags(Ci.nsMsgFolderFlags[use]));
  }
  return root.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox);
}

// changes sets flags, and copies, moves and deletes a message.
async function changes(inbox) {
  await update(inbox);
  const [first, second, third] = ['number 0', 'number 1', 'number 2'].map((subject) => named(inbox, subject));
  inbox.markMessagesRead([first], true);
  inbox.markMessagesFlagged([first], true);
  inbox.addKeywordsToMessages([first, second], '$label1');
  check((await whole(second)).includes('Subject: number 1'), 'it reads another message');
  await update(inbox); // copies may go over another connection, which must not overtake the flags

  inbox.createSubfolder('Größe', null);
  const folder = await until('the new folder', () => inbox.subFolders.find((f) => f.name === 'Größe'));
  for (const [header, move] of [[first, false], [second, true]]) {
    const { promise, listener } = told();
    MailServices.copy.copyMessages(inbox, [header], folder, move, listener, null, false);
    await promise;
  }
  const deleted = told();
  inbox.deleteMessages([third], null, false, false, deleted.listener, false);
  await deleted.promise;
  await update(folder);
  await until('what was copied and moved', () => headers(folder).length === 2);
  const copy = named(folder, 'number 0');
  await until('the flags of the copy', () => copy.isRead && copy.isFlagged && copy.getStringProperty('keywords').includes('$label1'));
}

// letter sends one, which comes back by itself, and whose copy is in Sent.
async function letter(a, inbox, subject) {
  await update(inbox);
  await send(a, subject);
  await until('new mail without asking', () => named(inbox, subject));
  const sent = inbox.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.SentMail);
  await update(sent);
  await until('the copy of what was sent', () => named(sent, subject));
}

// search has the server search.
async function search(folder, text) {
  const session = Cc['@mozilla.org/messenger/searchSession;1'].createInstance(Ci.nsIMsgSearchSession);
  const term = session.createTerm();
  term.attrib = Ci.nsMsgSearchAttrib.Body;
  term.op = Ci.nsMsgSearchOp.Contains;
  const value = term.value;
  value.attrib = term.attrib;
  value.str = text;
  term.value = value;
  session.appendTerm(term);
  session.addScopeTerm(Ci.nsMsgSearchScope.onlineMail, folder);
  const hits = [];
  const { promise, resolve } = Promise.withResolvers();
  session.registerListener({ QueryInterface: ChromeUtils.generateQI(['nsIMsgSearchNotify']), onSearchHit(h) { hits.push(h.mime2DecodedSubject); }, onSearchDone: resolve, onNewSearch() {} });
  session.search(null);
  await promise;
  return hits.join('|');
}

async function main() {
  const a = await account();
  const inbox = await folders(a.incoming.rootFolder);
  await changes(inbox);
  await letter(a, inbox, 'Schöne Grüße');
  const found = await search(inbox, 'GRÜßE AN ALLE');
  check(found === 'Schöne Grüße', `the search finds "${found}"`);
}

main().then(() => done(''), (err) => done(`${err}\n${err.stack}`));
