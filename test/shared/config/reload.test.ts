import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openDmzConfig } from '#dmz/config.ts';
import { describeReload, isFrozen } from '#shared/config/reload.ts';

const yaml = `node: dmz1
public_url: https://files.example.com
https: { listen: "127.0.0.1:8443", certificate: credential:https-certificate, key: credential:https-key }
sftp: { host_keys: [credential:ssh-host-key] }
link: { listen: "127.0.0.1:8444", identity_key: credential:link-key, signing_key: credential:signing-key, main: { identity: MAIN } }
`.replace('MAIN', 'A'.repeat(43));

describe('a reload', () => {
  let folder: string;
  const at = (...names: string[]): string => join(folder, ...names);
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sallyport-reload-'));
    for (const name of ['https-certificate', 'https-key', 'ssh-host-key', 'link-key', 'signing-key'])
      await writeFile(at(name), name, { mode: 0o600 });
    await writeFile(at('dmz.yaml'), yaml);
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const open = (renewed?: string) =>
    openDmzConfig(at('dmz.yaml'), { credentials: folder, ...(renewed !== undefined && { renewed }) });

  it('names the keys whose meaning or whose file is another, and no others', async () => {
    const source = await open();
    expect((await source.reread()).changed).toEqual([]);
    const other = yaml
      .replace('node: dmz1', 'node: "dmz1"\nlog: { level: warn }')
      .replace('8443"', '9443", profile: strict');
    await writeFile(at('dmz.yaml'), `${other}workers: 2\n`);
    await writeFile(at('https-key'), 'another');
    expect((await source.reread()).changed).toEqual(['https.key', 'https.listen', 'log.level', 'workers']);
  });

  it('tells again what was not taken, and nothing of what was', async () => {
    const source = await open();
    await writeFile(at('dmz.yaml'), `${yaml}log: { level: warn }\nworkers: 2\n`);
    await writeFile(at('https-certificate'), 'another');
    const first = await source.reread();
    first.take(['log.level', 'https.certificate']);
    expect((await source.reread()).changed).toEqual(['workers']);
    await writeFile(at('dmz.yaml'), yaml);
    expect((await source.reread()).changed).toEqual(['log.level']);
  });

  it('takes what a reload of the unit renewed in place of what systemd handed over', async () => {
    const renewed = await mkdtemp(at('renewed-'));
    const source = await open(renewed);
    await writeFile(join(renewed, 'dmz.yaml'), `${yaml}log: { level: warn }\n`);
    await writeFile(join(renewed, 'https-certificate'), 'renewed');
    const { changed, config } = await source.reread();
    expect(changed).toEqual(['https.certificate', 'log.level']);
    expect(config.https.certificate).toBe(join(renewed, 'https-certificate'));
    expect(config.https.key).toBe(at('https-key'));
  });

  it('refuses what is wrong, and nothing is another then', async () => {
    const source = await open();
    await writeFile(at('dmz.yaml'), `${yaml}log: { level: loud }\n`);
    await expect(source.reread()).rejects.toMatchObject({ code: 'config' });
    await writeFile(at('dmz.yaml'), yaml);
    expect((await source.reread()).changed).toEqual([]);
  });

  it('says what took effect, what only a restart takes, and what it could not see', () => {
    const nothing = { changed: [], restart: [], frozen: [] };
    expect(describeReload({ ...nothing, changed: ['https.certificate'], restart: ['sftp.listen'] })).toBe(
      'reloaded: https.certificate; changed, but only a restart takes it: sftp.listen',
    );
    expect(describeReload(nothing)).toBe('reloaded: nothing had changed');
    expect(describeReload({ ...nothing, frozen: ['dmz.yaml', 'https.certificate'] })).toMatch(
      /^reloaded: nothing had changed; not looked at, .* a restart of the unit takes it: dmz.yaml, https.certificate$/,
    );
  });

  it('sees no change of what systemd handed over, only of what lies in files', () => {
    const handedOver = '/run/credentials/dmz.service';
    expect(isFrozen(`${handedOver}/https-certificate`, handedOver)).toBe(true);
    expect(isFrozen('/etc/sallyport/tls.pem', handedOver)).toBe(false);
    expect(isFrozen(`${handedOver}-other/x`, handedOver)).toBe(false);
    expect(isFrozen(`${handedOver}/x`, undefined)).toBe(false);
    expect(isFrozen(undefined, handedOver)).toBe(false);
  });
});
