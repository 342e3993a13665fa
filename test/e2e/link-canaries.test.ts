import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findLeaks, listCanaries, readSent } from '#test/harness/canaries.ts';
import { CurlSession } from '#test/harness/clients/curl.ts';
import { runOpenSshSftp } from '#test/harness/clients/openssh-sftp.ts';
import { type Product, startProduct } from '#test/harness/product.ts';

// Every other end-to-end test records the link too and fails when it closes if a canary was sent; this one walks
// through what comes closest to the secrets and proves that the recorder and the canaries are real.
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
    await curl.call('/api/files/lane.txt', ['-X', 'PUT', '--data-binary', 'sent over a lane']);
    expect((await curl.call('/api/files/lane.txt')).body.toString()).toBe('sent over a lane');
    await curl.json('POST', '/api/two-factor/setup');
    await curl.login('alice', 'a wrong password');
    await curl.login('bob', product.password('bob'));
    const keyFile = users['erin']?.sshKeyFile ?? '';
    const erin = product.sftp('erin', { keyFile, code: await product.authenticator('erin').next() });
    expect((await runOpenSshSftp(erin, ['ls'])).status).toBe(0);
    await runOpenSshSftp(product.sftp('erin', { keyFile, code: '000000' }), ['ls']);
    await curl.close();

    const sent = readSent(files);
    expect(sent.includes('challenge')).toBe(true);
    expect(sent.includes('Alice Example')).toBe(true);
    expect(sent.includes('sent over a lane')).toBe(true);
    const canaries = listCanaries(product.site);
    expect(canaries.length).toBeGreaterThan(20);
    expect(canaries.filter(([, text]) => text.length < 8)).toEqual([]);
    expect(findLeaks(product.site), 'main must not send what it keeps').toEqual([]);
  });
});
