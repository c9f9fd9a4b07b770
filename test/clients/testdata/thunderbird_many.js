// How Thunderbird is with a large mailbox: it takes it off line, changes much of
// it at once, and finds what others do meanwhile. It follows the parts of
// thunderbird.js; its other arguments are a directory and how many messages there are.

async function wait(what, start) {
  const { promise, listener } = told();
  start(listener);
  await Promise.race([promise, new Promise((_, reject) => setTimeout(() => reject(new Error(`${what} takes too long`)), 80000))]);
}

async function many(directory, count) {
  const a = await account();
  const inbox = await folders(a.incoming.rootFolder);
  await update(inbox);
  await until(`${count} headers, not ${headers(inbox).length}`, () => headers(inbox).length === count);

  // All are there without the server.
  await wait('the download', (l) => inbox.downloadAllForOffline(l, null));
  await until('the end of the download', () => headers(inbox).every((h) => h.flags & Ci.nsMsgMessageFlags.Offline));
  for (const h of headers(inbox)) {
    const text = await whole(h);
    await IOUtils.write(PathUtils.join(directory, String(h.messageKey)), Uint8Array.from(text, (c) => c.charCodeAt(0)));
  }

  // Much is changed at once.
  const all = headers(inbox).sort((x, y) => x.messageKey - y.messageKey);
  const every = (n, k) => all.filter((h) => h.messageKey % n === k);
  inbox.markMessagesRead(every(2, 0), false); // all were read above
  inbox.markMessagesFlagged(every(3, 0), true);
  inbox.addKeywordsToMessages(every(5, 0), '$label2 work');
  inbox.removeKeywordsFromMessages(every(10, 0), '$label2');
  await wait('the compaction', (l) => inbox.compact(l, null)); // which comes behind them
  const trash = inbox.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Trash);
  const archive = inbox.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Archive);
  const deleted = every(7, 0);
  const moved = every(7, 1);
  await wait('the deletion', (l) => inbox.deleteMessages(deleted, null, false, true, l, false));
  await wait('the move', (l) => MailServices.copy.copyMessages(inbox, moved, archive, true, l, null, false));
  archive.updateFolder(null);
  trash.updateFolder(null);
  await until('what was moved', () => headers(archive).length === moved.length && headers(trash).length === deleted.length);
  await wait('the emptying of the trash', (l) => trash.emptyTrash(l));
  check(headers(inbox).length === count - moved.length - deleted.length, `${headers(inbox).length} messages are left`);
}

many(arguments[6], arguments[7]).then(() => arguments[8](''), (err) => arguments[8](`${err}\n${err.stack}`));
