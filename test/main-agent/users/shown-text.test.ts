import { mkdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  HashBook,
  costOfNamed,
  digestOfNamed,
  isHashName,
  schemeUnder,
} from '#main-agent/users/hash-book.ts';
import { LocalUserFiles, readOne } from '#main-agent/users/user-files.ts';
import { hashOctets, showText } from '#main-agent/users/shown-text.ts';
import { exampleHash, exampleHashName, makeUsersFolder } from './users-folder.ts';

const [salt, tag] = exampleHash.split('$').slice(-2) as [string, string];
const wrapped = `$argon2id-over$bcrypt$r=10$${'A'.repeat(22)}$v=19$m=19456,t=2,p=1$${salt}$${tag}`;
const foreign = {
  bcrypt: `$2b$10$${'a'.repeat(53)}`,
  'sha512-crypt': `$6$rounds=5000$saltsalt$${'a'.repeat(86)}`,
  'md5-crypt': '$1$abcdefgh$0123456789012345678901',
  yescrypt: `$y$j9T$${'a'.repeat(22)}$${'b'.repeat(43)}`,
  passlib: `$pbkdf2-sha256$29000$${'a'.repeat(22)}$${'b'.repeat(43)}`,
  django: `pbkdf2_sha256$29000$salt$${'b'.repeat(43)}=`,
  directory: `{SSHA}${'a'.repeat(32)}`,
  argon2i: exampleHash.replace('argon2id', 'argon2i'),
};

/** The pieces of a hash by which it could be guessed or told. */
const piecesOf = (hash: string): string[] => hash.split(/[$}]/).filter((part) => part.length >= 20);

function show(text: string, book = new HashBook()) {
  return { shown: showText(Buffer.from(text), book), book };
}

describe('the name of a hash', () => {
  test('says what it costs and nothing of its salts and its tag, and is the same in each process', () => {
    const name = new HashBook().note(wrapped);
    expect(name).toMatch(/^\$vault\$argon2id-over\$bcrypt\$r=10\$s16\$v=19\$m=19456,t=2,p=1\$[\w-]{43}$/);
    expect(new HashBook().note(wrapped)).toBe(name);
    for (const piece of [...piecesOf(wrapped), 'A'.repeat(22)]) expect(name).not.toContain(piece);
    expect(schemeUnder(name)).toBe('bcrypt');
    expect(schemeUnder(exampleHashName)).toBeUndefined();
    expect(costOfNamed(exampleHashName)).toBe('argon2id$v=19$m=19456,t=2,p=1');
    expect(digestOfNamed(exampleHashName)).toBe(hashOctets(Buffer.from(exampleHash)));
  });

  test('is none that a file may have where nobody could verify it', () => {
    const book = new HashBook();
    for (const text of ['hunter2', '', exampleHash.slice(0, 40), ...Object.values(foreign), exampleHashName])
      expect(isHashName(book.note(text)), text).toBe(false);
    expect(isHashName(exampleHash)).toBe(false);
    expect(isHashName(exampleHashName)).toBe(true);
  });
});

describe('a file as main is shown it', () => {
  test.each([
    ['plain', `username: a\npassword: ${exampleHash}\nquota: 1GiB\n`],
    ['with a comment', `username: a\npassword: ${exampleHash} # since May\n`],
    ['quoted', `username: a\npassword: "${exampleHash}"\n`],
    ['in single quotes', `username: a\npassword: '${exampleHash}'\n`],
    ['on one line with all', `{ username: a, password: "${exampleHash}", quota: 1GiB }\n`],
    ['in a block', `username: a\npassword: |-\n  ${exampleHash}\n`],
    ['by an anchor', `username: a\ndisplay_name: &h ${exampleHash}\npassword: *h\n`],
    ['in a comment alone', `username: a\n# before: ${exampleHash}\npassword: null\n`],
    ['twice', `username: a\n# before: ${wrapped}\npassword: ${exampleHash}\n`],
    ['in a file that is broken', `username: a\npassword: ${exampleHash}\n  quota: [\n`],
    ['cut short by an editor', `username: a\npassword: ${exampleHash.slice(0, -7)}`],
    ['under another key', `username: a\nold_password: "${exampleHash}"\n`],
    ['of Windows', `username: a\r\npassword: ${exampleHash}\r\n`],
    ...Object.entries(foreign).map(([kind, hash]): [string, string] => [
      kind,
      `username: a\npassword: "${hash}"\n`,
    ]),
  ])('S-02: has the name of the hash: %s', (_, text) => {
    const { shown, book } = show(text);
    expect(shown.text).toBeDefined();
    for (const piece of [tag.slice(0, 30), salt, ...Object.values(foreign).flatMap(piecesOf)])
      expect(shown.text).not.toContain(piece);
    expect(book.fillIn(shown.text ?? ''), 'and is written again as it was').toBe(text);
    expect(shown.hash).toBe(hashOctets(Buffer.from(text)));
  });

  test('with a password where its hash should be has a name for it that is no hash', () => {
    for (const value of ['hunter2', '"hunter 2"', "'hunter2'", 'hunter2 # secret']) {
      const text = `username: a\npassword: ${value}\n`;
      const { shown, book } = show(text);
      expect(shown.text, value).toMatch(/\npassword: \$vault\$unusable\$[\w-]{43}( # secret)?\n/);
      expect(book.fillIn(shown.text ?? '')).toBe(text);
    }
  });

  test('that has a name of ours in it is no way to somebody’s hash', () => {
    const { shown, book } = show(`username: a\npassword: ${exampleHashName}\n`);
    book.note(exampleHash);
    expect(shown.text).toContain('$vault$unusable$');
    expect(book.fillIn(shown.text ?? '')).toContain(exampleHashName);
  });

  test.each([
    ['escapes', `username: a\npassword: "\\u0024argon2id$v=19$m=19456,t=2,p=1$${salt}$${tag}"\n`],
    ['an escape of hexadecimal', `username: a\npassword: "\\x24${exampleHash.slice(1)}"\n`],
    [
      'a line that goes on',
      `username: a\npassword: "${exampleHash.slice(0, 50)}\\\n  ${exampleHash.slice(50)}"\n`,
    ],
    [
      'lines that are folded',
      `username: a\npassword: >-\n  ${exampleHash.slice(0, 30)}\n  ${exampleHash.slice(30)}\n`,
    ],
    [
      'quotes over two lines',
      `username: a\npassword: "${exampleHash.slice(0, 30)}\n  ${exampleHash.slice(30)}"\n`,
    ],
    ['base64', `username: a\npassword: !!binary ${Buffer.from(exampleHash).toString('base64')}\n`],
    ['an escaped key', `username: a\n"pass\\u0077ord": "${salt}$${tag}"\n`],
    [
      'an anchor with escapes',
      `username: a\ndisplay_name: &h "\\u0024argon2id$v=19$m=19456,t=2,p=1$${salt}$${tag}"\npassword: *h\n`,
    ],
    [
      'escapes in a file that is broken',
      `username: a\npassword: "\\u0024argon2id$v=19$m=19456,t=2,p=1$${salt}$${tag}"\nquota: [\n`,
    ],
    ['folds in a file that is broken', `username: a\npassword: >-\n  ${salt}\n  ${tag}\nquota: [\n`],
    [
      'a name with an escape',
      `username: a\npassword: "\\u0024${exampleHashName.slice(1)}" # ${salt}${tag}\n`,
    ],
    ['a name with all escaped', `username: a\npassword: "${exampleHashName.replaceAll('$', '\\x24')}"\n`],
    ['a name elsewhere', `username: a\ndisplay_name: "${exampleHashName.replaceAll('$', '\\x24')}"\n`],
    ['a name in a key', `username: a\n? "${exampleHashName.replaceAll('$', '\\x24')}"\n: 1\n`],
    ['a list', `username: a\npassword: [${salt}, ${tag}]\n`],
  ])('is not shown where looking does not tell what the password is: %s', (_, text) => {
    const { shown } = show(`status: disabled\n${text}`);
    expect(shown).toMatchObject({
      hash: hashOctets(Buffer.from(`status: disabled\n${text}`)),
      saysDisabled: true,
    });
    expect(shown.text).toBeUndefined();
    expect(JSON.stringify(shown)).not.toContain(tag.slice(0, 20));
  });

  test.each([
    ['money', 'username: a\ndisplay_name: "$5$ and $1$ a month"\n'],
    ['an escape', 'username: a\ndisplay_name: "Zo\\u00eb"\npassword: null\n'],
    ['the word', 'username: a\ndisplay_name: password manager # not a password\n'],
    ['no password', 'username: a\npassword: ~\n'],
    [
      'a key',
      'username: a\nssh_keys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f a"]\n',
    ],
    ['nothing that YAML could be', 'username: [\n'],
  ])('is what it is where there is no hash: %s', (_, text) => {
    expect(show(text).shown.text).toBe(text);
  });
});

describe('the user store', () => {
  test('takes no file whose hash it could not hide, and says what to do', async () => {
    await using folder = await makeUsersFolder({
      'alice.yaml': `username: alice\npassword: ${exampleHash}\n`,
    });
    const users = await folder.open();
    await folder.write(
      'alice.yaml',
      `username: alice\nquota: 1GiB\npassword: "\\u0024${exampleHash.slice(1)}"\n`,
    );
    await users.refresh();
    expect(users.find('alice')).toMatchObject({ quotaBytes: undefined });
    expect(users.find('alice')?.passwordHash?.expose(), 'the last good version').toBe(exampleHashName);
    const [problem] = users.problems();
    expect(problem).toMatchObject({
      message: expect.stringContaining('password: written in a way'),
      hint: expect.stringContaining('without escapes'),
    });
    expect(JSON.stringify(problem)).not.toContain(tag);
  });

  test('writes each hash where its name stood', async () => {
    await using folder = await makeUsersFolder();
    const files = folder.files();
    const file = path.join(folder.directory, 'alice.yaml');
    const text = `username: alice\npassword: ${folder.book.note(exampleHash)} # ${folder.book.note(wrapped)}\n`;
    await folder.write('alice.yaml', `password: ${wrapped}\n`);
    const replaces = hashOctets(Buffer.from(`password: ${wrapped}\n`));
    const hash = await files.write(file, text, { mode: 0o600, replaces });
    expect(await readFile(file, 'utf8')).toBe(`username: alice\npassword: ${exampleHash} # ${wrapped}\n`);
    expect(await readOne(files, file)).toMatchObject({ hash, text });
    await expect(files.write(file, 'x', { mode: 0o600, replaces: 'another' })).rejects.toMatchObject({
      code: 'conflict',
    });
    await expect(files.write(file, 'x', { mode: 0o600, exclusive: true })).rejects.toMatchObject({
      code: 'exists',
    });
  });

  test('S-02: writes no hash where its name does not stand as a password and stood in no text before', async () => {
    await using folder = await makeUsersFolder({
      'alice.yaml': `username: alice\npassword: ${exampleHash}\n`,
    });
    const files = folder.files();
    const name = folder.book.note(exampleHash);
    for (const text of [
      `username: bob\ndisplay_name: ${name}\n`,
      `username: bob\n# password: ${name}\n`,
      `username: bob\ndisplay_name: "password: ${new HashBook().note('nowhere')}"\npassword: ${name}\n`,
    ])
      await expect(
        files.write(path.join(folder.directory, 'bob.yaml'), text, { mode: 0o600, exclusive: true }),
      ).rejects.toMatchObject({ code: 'config', publicMessage: 'That is the name of a password hash' });
  });

  test('writes no name that no file has', async () => {
    await using folder = await makeUsersFolder();
    const files = folder.files();
    await expect(
      files.write(
        path.join(folder.directory, 'alice.yaml'),
        `password: ${new HashBook().note(`${exampleHash}A`)}\n`,
        {
          mode: 0o600,
        },
      ),
    ).rejects.toMatchObject({ code: 'config' });
  });

  test('finds a hash by its name where it began after main had read it: in the folder, or in the last good copies', async () => {
    await using folder = await makeUsersFolder({
      'alice.yaml': `username: alice\npassword: ${exampleHash}\n`,
    });
    const users = await folder.open();
    await folder.write('alice.yaml', `username: alice\npassword: ${wrapped}\n`);
    const lastGood = path.join(folder.base, 'last-good');
    const names = [users.find('alice')?.passwordHash?.expose() ?? '', new HashBook().note(wrapped)];
    const begun = new LocalUserFiles({
      book: new HashBook(),
      box: folder.box,
      directory: folder.directory,
      lastGoodDirectory: lastGood,
    });
    expect(await begun.find(names[0] ?? ''), 'no file is read on a login’s account').toBeUndefined();
    const reading = begun.readFolders();
    expect(await Promise.all(names.map((name) => begun.find(name)))).toEqual([exampleHash, wrapped]);
    await reading;
    expect(await begun.find(new HashBook().note('another'))).toBeUndefined();
  });

  test('copies a version only while it is that one', async () => {
    await using folder = await makeUsersFolder({ 'alice.yaml': `password: ${exampleHash}\n` });
    const files = folder.files();
    const [file, copy] = [path.join(folder.directory, 'alice.yaml'), path.join(folder.base, 'copy')];
    await files.copy({ file, hash: 'another', modifiedMs: 0 }, copy);
    await expect(stat(copy)).rejects.toMatchObject({ code: 'ENOENT' });
    await files.copy(
      { file, hash: hashOctets(Buffer.from(`password: ${exampleHash}\n`)), modifiedMs: 5_000 },
      copy,
    );
    expect(await readFile(copy, 'utf8')).toBe(`password: ${exampleHash}\n`);
    expect((await stat(copy)).mtimeMs).toBe(5_000);
  });

  test('reads many at once as it reads one: each by itself, whatever is wrong with others', async () => {
    await using folder = await makeUsersFolder();
    const names = Array.from({ length: 20 }, (_, index) => `u${index}.yaml`);
    for (const name of names) await folder.write(name, `# ${name}\npassword: ${exampleHash}\n`);
    await mkdir(path.join(folder.directory, 'folder.yaml'));
    const files = folder.files();
    const all = [...names, 'gone.yaml', 'folder.yaml'].map((name) => path.join(folder.directory, name));
    const together = await files.read(all);
    const single = await Promise.all(all.map(async (file) => (await files.read([file]))[0]));
    expect(together).toEqual(single);
    expect(together.slice(-2)).toEqual([
      { gone: true },
      { gone: false, why: expect.stringContaining('no file'), stamp: expect.any(String) },
    ]);
  });
});
