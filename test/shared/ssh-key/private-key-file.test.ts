import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { generateKeyPairSync, sign, verify } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { Secret } from '#shared/secret.ts';
import { parsePublicKeyLine } from '#shared/ssh-key/parse.ts';
import {
  formatPrivateKeyFile,
  generatePrivateKeyFile,
  parsePrivateKeyFile,
} from '#shared/ssh-key/private-key-file.ts';
import { makeOpensshKey, runSshKeygen, withFolder } from './ssh-keygen.ts';

describe('a private key file', () => {
  test.each(['', 'a', 'erin@demo', 'ünïcode', 'x'.repeat(200)])(
    'of ours with the comment "%s" is read by OpenSSH as the same key',
    async (comment) => {
      const { file, publicLine } = generatePrivateKeyFile(comment);
      await withFolder(async (folder) => {
        const name = path.join(folder, 'key');
        await writeFile(name, file.expose(), { mode: 0o600 });
        expect((await runSshKeygen('-y', '-f', name)).trim()).toBe(publicLine);
      });
      const { publicKey, privateKey } = parsePrivateKeyFile(file);
      expect(publicKey).toMatchObject({ comment, fingerprint: parsePublicKeyLine(publicLine).fingerprint });
      const message = Buffer.from('message');
      expect(verify(null, message, publicKey.key, sign(null, message, privateKey))).toBe(true);
    },
  );

  test('of OpenSSH is read as the same key', async () => {
    const { line, privateFile } = await makeOpensshKey('ed25519');
    const { publicKey } = parsePrivateKeyFile(new Secret(privateFile));
    expect(publicKey.blob.equals(parsePublicKeyLine(line).blob)).toBe(true);
  });

  test('of another type, or with a passphrase, is refused and says so', async () => {
    const { privateFile } = await makeOpensshKey('ecdsa', 256);
    expect(() => parsePrivateKeyFile(new Secret(privateFile))).toThrow(/only ssh-ed25519/);
    await withFolder(async (folder) => {
      const name = path.join(folder, 'key');
      const { file } = generatePrivateKeyFile('locked');
      await writeFile(name, file.expose(), { mode: 0o600 });
      await runSshKeygen('-q', '-p', '-P', '', '-N', 'passphrase', '-f', name);
      const locked = new Secret(await readFile(name, 'utf8'));
      expect(() => parsePrivateKeyFile(locked)).toThrow(/without passphrase/);
    });
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    expect(() => formatPrivateKeyFile(privateKey, '')).toThrow(/only Ed25519/);
  });

  test('whose public half is another key’s is refused', () => {
    const [one, two] = ['one', 'two'].map((comment) => octetsOf(generatePrivateKeyFile(comment).file));
    const mixed = Buffer.from(one ?? '');
    // The outer public blob's point: after the magic, cipher, kdf, options, count, length, "ssh-ed25519".
    const at = 15 + 8 + 8 + 4 + 4 + 4 + 15 + 4;
    (two ?? Buffer.alloc(0)).copy(mixed, at, at, at + 32);
    expect(() => parsePrivateKeyFile(fileOf(mixed))).toThrow(/not the public key/);
  });

  test('with any octet changed, or cut, is refused or is the same key', () => {
    const { file } = generatePrivateKeyFile('k');
    const octets = octetsOf(file);
    const { fingerprint } = parsePrivateKeyFile(file).publicKey;
    for (let index = 0; index < octets.length; index += 1) {
      const changed = Buffer.from(octets);
      changed[index] = (changed[index] ?? 0) ^ 1;
      expect([fingerprint, 'refused']).toContain(fingerprintOf(fileOf(changed)));
      expect(fingerprintOf(fileOf(octets.subarray(0, index)))).toBe('refused');
    }
  });

  test('never prints', () => {
    expect(JSON.stringify(generatePrivateKeyFile('k'))).toContain('[secret]');
  });
});

function fingerprintOf(file: Secret): string {
  try {
    return parsePrivateKeyFile(file).publicKey.fingerprint;
  } catch {
    return 'refused';
  }
}

function octetsOf(file: Secret): Buffer {
  return Buffer.from(file.expose().split('\n').slice(1, -2).join(''), 'base64');
}

function fileOf(octets: Buffer): Secret {
  const base64 = octets.toString('base64');
  return new Secret(`-----BEGIN OPENSSH PRIVATE KEY-----\n${base64}\n-----END OPENSSH PRIVATE KEY-----\n`);
}
