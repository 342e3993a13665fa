import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeBase32 } from '#main-agent/two-factor/base32.ts';
import { CurlSession } from '#test/harness/clients/curl.ts';
import { runOpenSshSftp } from '#test/harness/clients/openssh-sftp.ts';
import { type Product, startProduct } from '#test/harness/product.ts';

/** Every spelling in which a stored secret could leave main. */
function spellings(name: string, octets: Buffer): [string, string][] {
  return [
    [`${name} as text`, octets.toString('latin1')],
    [`${name} in base64`, octets.toString('base64').replace(/=+$/, '')],
    [`${name} in base64url`, octets.toString('base64url')],
    [`${name} in hex`, octets.toString('hex')],
  ];
}

describe('what main sends over the link', () => {
  let product: Product;
  beforeAll(async () => {
    product = await startProduct();
  });
  afterAll(() => product.close());

  it('S-02: never holds a confirmed secret, a password hash or a stored key', async () => {
    const { files, users, https } = product.site;
    const curl = await CurlSession.start(https, files.ca);
    const code = await product.authenticator('alice').next();
    expect(await curl.login('alice', product.password('alice'), code)).toMatchObject({ status: 200 });
    await curl.json('GET', '/api/me');
    await curl.json('GET', '/api/files/');
    await curl.json('POST', '/api/two-factor/setup');
    await curl.login('alice', 'a wrong password');
    await curl.login('bob', product.password('bob'));
    const keyFile = users['erin']?.sshKeyFile ?? '';
    const erin = product.sftp('erin', { keyFile, code: await product.authenticator('erin').next() });
    expect((await runOpenSshSftp(erin, ['ls'])).status).toBe(0);
    await runOpenSshSftp(product.sftp('erin', { keyFile, code: '000000' }), ['ls']);
    await curl.close();

    const canaries: [string, string][] = [];
    for (const [name, { totpSecret }] of Object.entries(users)) {
      if (totpSecret === undefined) continue;
      canaries.push([`${name}'s secret in base32`, totpSecret]);
      canaries.push(...spellings(`${name}'s secret`, decodeBase32(totpSecret) ?? Buffer.alloc(0)));
    }
    for (const file of readdirSync(files.main.users)) {
      const text = readFileSync(join(files.main.users, file), 'utf8');
      for (const [, hash] of text.matchAll(/\$argon2id\$\S+\$(\S+)/g))
        canaries.push([`${file}: hash`, hash ?? '']);
      for (const [, key] of text.matchAll(/ssh-ed25519 (\S+)/g)) {
        canaries.push([`${file}: key line`, `ssh-ed25519 ${key}`]);
        canaries.push(...spellings(`${file}: key`, Buffer.from(key ?? '', 'base64')));
      }
    }
    for (const file of readdirSync(files.main.enrolments)) {
      const text = readFileSync(join(files.main.enrolments, file), 'utf8');
      for (const [, sealed] of text.matchAll(/(sealed:v1:\S+)/g))
        canaries.push([`${file}: sealed`, sealed ?? '']);
    }
    canaries.push(...spellings('vault key', readFileSync(files.main.vaultKey)));

    const sent = readFileSync(join(files.dir, 'main', 'link-sent')).toString('latin1');
    // The recorder works: what must be there is there.
    expect(sent).toContain('challenge');
    expect(sent).toContain('Alice Example');
    expect(canaries.length).toBeGreaterThan(20);
    expect(canaries.filter(([, canary]) => canary.length < 8)).toEqual([]);
    const leaked = canaries.filter(([, canary]) => sent.includes(canary)).map(([what]) => what);
    expect(leaked, 'main must not send what it keeps').toEqual([]);
  });
});
