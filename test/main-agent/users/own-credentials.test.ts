import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { buildOwnCredentials, requireRoom } from '#main-agent/users/own-credentials.ts';
import { FileWrites } from '#main-agent/users/file-writes.ts';
import { YamlUserDirectory } from '#main-agent/users/user-writes.ts';
import { systemClock } from '#shared/clock.ts';
import { Secret } from '#shared/secret.ts';
import { generatePrivateKeyFile } from '#shared/ssh-key/private-key-file.ts';
import { parsePublicKeyLine } from '#shared/ssh-key/parse.ts';
import { exampleHash, exampleHashName, makeUsersFolder } from './users-folder.ts';

const otherHash = exampleHash.replace('c2Fsd', 'dGFzd');
const newKey = (comment: string) => parsePublicKeyLine(generatePrivateKeyFile(comment).publicLine);

async function setUp(files: Readonly<Record<string, string>>) {
  const folder = await makeUsersFolder(files);
  const users = await folder.open();
  const directory = new YamlUserDirectory(users, new FileWrites(users, systemClock));
  return {
    directory,
    credentials: buildOwnCredentials(directory),
    note: (hash: string) => new Secret(folder.book.note(hash)),
    read: () => readFile(path.join(folder.directory, 'alice.yaml'), 'utf8'),
    keys: () => directory.find('alice')?.sshKeys.map(({ comment }) => comment),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

describe('what users change in their own file', () => {
  test('a password is in force when it resolves; everything else stays as people wrote it', async () => {
    await using site = await setUp({ 'alice.yaml': '# Alice\nusername: alice # she\nquota: 1GiB\n' });
    await site.credentials.setPassword('alice', site.note(exampleHash));
    expect(site.directory.find('alice')?.passwordHash?.expose()).toBe(exampleHashName);
    expect(await site.read()).toBe(
      `# Alice\nusername: alice # she\nquota: 1GiB\npassword: ${JSON.stringify(exampleHash)}\n`,
    );
    await site.credentials.setPassword('alice', undefined);
    expect(site.directory.find('alice')?.passwordHash).toBeUndefined();
  });

  test('a password is not written over a file that changed since', async () => {
    await using site = await setUp({ 'alice.yaml': 'username: alice\n' });
    const etag = await site.credentials.etag('alice');
    await site.directory.change('alice', [{ path: ['quota'], value: '1GiB' }], undefined);
    await expect(
      site.credentials.setPassword('alice', new Secret(exampleHashName), etag),
    ).rejects.toMatchObject({
      code: 'precondition-failed',
    });
  });

  test('a hash gives way to another of the same password, and only that very hash does', async () => {
    await using site = await setUp({ 'alice.yaml': `username: alice # she\npassword: ${exampleHash}\n` });
    const [old, next] = [site.note(exampleHash), site.note(otherHash)];
    expect(await site.credentials.renewPassword('alice', next, old)).toBe(false);
    expect(await site.credentials.renewPassword('ghost', old, next)).toBe(false);
    expect(site.directory.find('alice')?.passwordHash?.expose()).toBe(old.expose());
    expect(await site.credentials.renewPassword('alice', old, next)).toBe(true);
    expect(site.directory.find('alice')?.passwordHash?.expose()).toBe(next.expose());
    expect(await site.read()).toBe(`username: alice # she\npassword: ${JSON.stringify(otherHash)}\n`);
  });

  test('keys come beside inherited ones, and only the own ones go', async () => {
    const given = generatePrivateKeyFile('given').publicLine;
    await using site = await setUp({
      '_default.yaml': `ssh_keys:\n  - ${given}\n`,
      'alice.yaml': 'username: alice\n',
    });
    const [one, other] = [newKey('one'), newKey('other')];
    await site.credentials.addKey('alice', one);
    await site.credentials.addKey('alice', other);
    expect(site.keys()).toEqual(['given', 'one', 'other']);
    expect(await site.credentials.ownKeys('alice')).toEqual(new Set([one.fingerprint, other.fingerprint]));
    await expect(site.credentials.addKey('alice', one)).rejects.toMatchObject({ code: 'exists' });
    expect(await site.credentials.removeKey('alice', one.fingerprint)).toBe(true);
    expect(await site.credentials.removeKey('alice', other.fingerprint)).toBe(true);
    expect(await site.credentials.removeKey('alice', parsePublicKeyLine(given).fingerprint)).toBe(false);
    expect(site.keys()).toEqual(['given']);
    expect(await site.read()).not.toContain('ssh_keys');
  });

  test('a file that replaces what is inherited goes on doing so when its last key goes', async () => {
    const [given, own] = [generatePrivateKeyFile('given'), generatePrivateKeyFile('own')];
    await using site = await setUp({
      '_default.yaml': `ssh_keys:\n  - ${given.publicLine}\n`,
      'alice.yaml': `username: alice\nssh_keys:\n  - ${own.publicLine}\n`,
    });
    expect(site.keys()).toEqual(['own']);
    await site.credentials.removeKey('alice', parsePublicKeyLine(own.publicLine).fingerprint);
    expect(site.keys()).toEqual([]);
    const next = newKey('next');
    await site.credentials.addKey('alice', next);
    expect(site.keys()).toEqual(['next']);
  });

  test('there is room for 64 keys and no more', () => {
    const keys = Array.from({ length: 64 }, (_, index) => newKey(`key ${index}`));
    expect(() => requireRoom(keys.slice(0, 63), newKey('last'))).not.toThrow();
    expect(() => requireRoom(keys, newKey('one more'))).toThrow('64 keys');
  });
});
