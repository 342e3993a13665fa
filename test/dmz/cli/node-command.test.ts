import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type { NetworkInterfaceInfo } from 'node:os';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { chooseLinkAddress } from '#dmz/cli/link-address.ts';
import { runNodeCommand } from '#dmz/cli/run.ts';
import { loadDmzConfig } from '#dmz/config.ts';
import { checkWordsOf } from '#shared/pairing/check-words.ts';
import { formatMainLine, parseNodeLine } from '#shared/pairing/pairing-line.ts';
import { parsePublicKeyLine } from '#shared/ssh-key/parse.ts';
import { buildPlayedTerminal } from '#test/harness/played-terminal.ts';

const main = { name: 'main1', identity: `SHA256:${'d'.repeat(43)}` };

describe('sallyport node', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-node-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
    const terminal = buildPlayedTerminal();
    const code = await runNodeCommand(args, { terminal, nowMs: 1_795_500_000_000, folder });
    return { code, out: terminal.printed(), err: terminal.complained() };
  }
  const init = (...more: string[]) =>
    run('init', '--public-url', 'https://files.example.com', '--link-listen', '[fd00::5]:8444', ...more);

  it('init makes a node whose configuration loads, with keys only its owner may read', async () => {
    expect((await init()).code).toBe(0);
    const config = await loadDmzConfig(join(folder, 'dmz.yaml'));
    expect(config).toMatchObject({ node: 'dmz1', publicUrl: 'https://files.example.com' });
    expect(config.link.listen).toEqual({ type: 'tcp', host: 'fd00::5', port: 8444 });
    for (const file of [config.link.identityKey, config.link.signingKey, config.https.key ?? 'none']) {
      expect(statSync(file).mode & 0o777).toBe(0o600);
    }
    expect(config.sftp).toMatchObject({ hostKey: 'main', hostKeys: [] });
    expect(existsSync(join(folder, 'ssh'))).toBe(false);
    expect(parseNodeLine(JSON.parse((await run('show', '--json')).out).line)).toMatchObject({
      host_key: 'main',
    });
  });

  it('init makes an SSH host key where the node is to have it itself', async () => {
    const { line } = JSON.parse((await init('--host-key', 'local', '--json')).out) as { line: string };
    const { sftp } = await loadDmzConfig(join(folder, 'dmz.yaml'));
    expect(sftp.hostKey).toBe('local');
    expect(sftp.hostKeys.map((file) => statSync(file).mode & 0o777)).toEqual([0o600]);
    const [type = '', blob = ''] = readFileSync(join(folder, 'ssh', 'ed25519.pub'), 'utf8').split(' ');
    expect(parseNodeLine(line).host_key).toBe(parsePublicKeyLine(`${type} ${blob}`).fingerprint);
  });

  it('init --systemd makes a node of handed-over sockets and keys, which the commands find all the same', async () => {
    const first = JSON.parse((await init('--systemd', '--dir', folder, '--json')).out) as { line: string };
    const credentials = join(folder, 'credentials');
    const config = await loadDmzConfig(join(folder, 'dmz.yaml'));
    expect(config.https).toMatchObject({
      listen: { type: 'systemd', name: 'https' },
      key: join(credentials, 'https-key'),
    });
    expect(config.health.listen).toEqual({ type: 'systemd', name: 'health' });
    for (const file of [config.link.identityKey, config.link.signingKey, ...config.sftp.hostKeys])
      expect([file.startsWith(credentials), statSync(file).mode & 0o777]).toEqual([true, 0o600]);
    expect(readFileSync(join(folder, 'dmz-link.socket.d', 'address.conf'), 'utf8')).toMatch(
      /^ListenStream=\nListenStream=\[fd00::5\]:8444$/m,
    );
    expect(parseNodeLine(first.line)).toMatchObject({ address: '[fd00::5]:8444' });
    expect(JSON.parse((await run('show', '--json')).out)).toEqual(first);
    const running = await loadDmzConfig(join(folder, 'dmz.yaml'), { credentials }).then(({ link }) => link);
    expect(running.identityKey).toBe(join(credentials, 'link-key'));
    expect((await run('rotate')).code).toBe(0);
  });

  it('prints the pairing line with its words, and prints it again', async () => {
    const first = JSON.parse((await init('--json')).out) as { line: string; words: string };
    expect(parseNodeLine(first.line)).toMatchObject({ name: 'dmz1', address: '[fd00::5]:8444' });
    expect(first.words).toBe(checkWordsOf(first.line));
    expect(JSON.parse((await run('show', '--json')).out)).toEqual(first);
    expect((await run('show')).out).toContain(first.words);
  });

  it('S-02: the line and all output hold no private key', async () => {
    const { out, err } = await init();
    const config = await loadDmzConfig(join(folder, 'dmz.yaml'));
    for (const file of [config.link.identityKey, config.link.signingKey]) {
      const secret = readFileSync(file, 'utf8').split('\n')[1] ?? '';
      expect(secret.length).toBeGreaterThan(40);
      expect(out + err).not.toContain(secret);
    }
  });

  it('init leaves a node that is there alone, and keeps keys of a half-made one', async () => {
    await init();
    const before = (await run('show')).out;
    expect((await init()).code).toBe(5);
    rmSync(join(folder, 'dmz.yaml'));
    await init();
    expect((await run('show')).out).toBe(before);
  });

  it('until main is trusted the node accepts nobody; trust writes its identity and keeps all else', async () => {
    await init();
    const file = join(folder, 'dmz.yaml');
    expect((await loadDmzConfig(file)).link.main.identity).toBe(`SHA256:${'A'.repeat(43)}`);
    writeFileSync(file, `${readFileSync(file, 'utf8')}# a comment of mine\n`, { mode: 0o600 });
    const before = readFileSync(file, 'utf8');
    const line = formatMainLine(main);
    const { code, out } = await run('trust', line);
    expect(code).toBe(0);
    expect(out).toContain(checkWordsOf(line));
    expect(readFileSync(file, 'utf8')).toBe(before.replace(`SHA256:${'A'.repeat(43)}`, main.identity));
    expect((await run('trust', line)).code).toBe(0);
  });

  it('trusts another main only when told to replace', async () => {
    await init();
    await run('trust', formatMainLine(main));
    const other = formatMainLine({ ...main, identity: `SHA256:${'e'.repeat(43)}` });
    expect((await run('trust', other)).code).toBe(5);
    expect((await run('trust', other, '--replace')).code).toBe(0);
    expect((await loadDmzConfig(join(folder, 'dmz.yaml'))).link.main.identity).toContain('eee');
  });

  it('says what is wrong: usage 2, nothing there 3', async () => {
    expect((await run('init')).code).toBe(2);
    expect((await run('init', '--public-url', 'http://plain.example.com')).code).toBe(2);
    expect((await run('unknown')).code).toBe(2);
    expect((await run('trust', 'not a line')).code).toBe(2);
    expect((await run('trust', formatMainLine(main))).code).toBe(3);
    expect((await run('show')).code).toBe(3);
    expect((await run('--help')).code).toBe(0);
  });
});

describe('the address main dials', () => {
  const address = (text: string, internal = false): NetworkInterfaceInfo =>
    ({
      address: text,
      internal,
      family: text.includes(':') ? 'IPv6' : 'IPv4',
      netmask: '',
      mac: '',
      cidr: null,
      ...(text.includes(':') && { scopeid: 0 }),
    }) as NetworkInterfaceInfo;
  const choose = (...texts: string[]): string =>
    chooseLinkAddress({ lo: [address('127.0.0.1', true)], eth: texts.map((text) => address(text)) });

  it('is the only one, or the only private one', () => {
    expect(choose()).toBe('127.0.0.1:8444');
    expect(choose('203.0.113.5')).toBe('203.0.113.5:8444');
    expect(choose('203.0.113.5', '10.0.1.5', 'fd00::5')).toBe('10.0.1.5:8444');
    expect(choose('fe80::1', '2001:db8::5')).toBe('[2001:db8::5]:8444');
    expect(choose('2001:db8::5', 'fd00::5')).toBe('[fd00::5]:8444');
  });

  it('is asked for where it is not clear', () => {
    for (const texts of [
      ['203.0.113.5', '203.0.113.6'],
      ['10.0.1.5', '192.168.1.5'],
    ]) {
      expect(() => choose(...texts)).toThrow(expect.objectContaining({ code: 'usage' }));
    }
  });
});
