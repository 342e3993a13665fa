import { createPublicKey } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { examineNodeBox } from '#dmz/cli/doctor.ts';
import { initNode, nodeFiles } from '#dmz/cli/init.ts';
import { readKernelSockets, type KernelSockets } from '#shared/health/kernel-sockets.ts';
import { runNodeCommand } from '#dmz/cli/run.ts';
import { selectTold } from '#dmz/health/node-health.ts';
import { healthCharactersMax } from '#shared/link/limits.ts';
import { eventSchemas } from '#shared/link/messages.ts';
import { parseIdentityKey } from '#shared/identity/identity-key.ts';
import { parseRotationLine } from '#shared/pairing/rotation-line.ts';
import { Secret } from '#shared/secret.ts';
import { buildPlayedTerminal } from '#test/harness/played-terminal.ts';

const nowMs = 1_795_500_000_000;
const dayMs = 86_400_000;
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-doctor-'));
  const listens = {
    httpsListen: '0.0.0.0:8443',
    sftpListen: '0.0.0.0:2222',
    linkListen: '127.0.0.1:8444',
    hostKey: 'local',
  } as const;
  initNode(folder, { name: 'dmz1', publicUrl: 'https://files.example.com', ...listens }, nowMs);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const running: KernelSockets = { listening: new Set([8443, 2222, 8444, 9464]), connected: new Set([8444]) };

async function bad(sockets: KernelSockets, at = nowMs): Promise<string[]> {
  const found = await examineNodeBox(nodeFiles(folder).config, {
    nowMs: at,
    here: { run: () => undefined, sockets: () => sockets, ownerOf: () => undefined },
    watched: join(folder, 'watched'),
  });
  const findings = found.findings.filter(({ state }) => state !== 'good');
  for (const { check, hint } of findings) expect(hint, check).toMatch(/\S/);
  return findings.map(({ check, detail }) => `${check}: ${detail}`);
}

function edit(from: RegExp, to: string): void {
  const { config } = nodeFiles(folder);
  writeFileSync(config, readFileSync(config, 'utf8').replace(from, to));
}

describe('sallyport node doctor', () => {
  it('finds nothing on a paired node that runs', async () => {
    edit(/identity: SHA256:A+/, `identity: SHA256:${'B'.repeat(43)}`);
    expect(await bad(running)).toEqual([]);
  });

  it('names what is missing: pairing, listeners, main', async () => {
    expect(await bad({ listening: new Set([8443, 9464]), connected: new Set() })).toEqual([
      expect.stringMatching(/^pairing: no main is trusted yet/),
      'listeners: nobody listens on port 2222 (sftp)',
      'listeners: nobody listens on port 8444 (link)',
      'main-link: main is not connected',
    ]);
  });

  it('sees main’s connection to a socket of systemd', async () => {
    folder = join(folder, 'installed');
    const listens = {
      httpsListen: '',
      sftpListen: '',
      linkListen: '[fd00::5]:8444',
      hostKey: 'main',
    } as const;
    initNode(folder, { name: 'dmz1', publicUrl: 'https://files.example.com', ...listens }, nowMs, true);
    edit(/identity: SHA256:A+/, `identity: SHA256:${'B'.repeat(43)}`);
    expect(await bad(running)).toEqual([]);
    expect(await bad({ listening: new Set([8444]), connected: new Set() })).toEqual([
      'main-link: main is not connected',
    ]);
  });

  it('looks at the certificate’s name and end, and the master switch', async () => {
    edit(/identity: SHA256:A+/, `identity: SHA256:${'B'.repeat(43)}`);
    edit(/files\.example\.com/, 'other.example.com');
    edit(/$/, '\nvalidated_logins: false\n');
    expect(await bad(running, nowMs + 390 * dayMs)).toEqual([
      'validated-logins: validated_logins is off: this node asks nobody for a second factor',
      expect.stringMatching(/^certificate-name: is not for other\.example\.com/),
      expect.stringMatching(/^certificate-end: ends in \d days/),
    ]);
    expect(await bad(running, nowMs + 400 * dayMs)).toContain('certificate-end: has ended');
  });

  it('says what the running node said last, and that it was not asked when that is long ago', async () => {
    edit(/identity: SHA256:A+/, `identity: SHA256:${'B'.repeat(43)}`);
    mkdirSync(join(folder, 'watched'));
    const said = {
      name: 'other-main',
      ok: false,
      state: 'bad',
      affects: 'health',
      detail: 'a second',
      hint: 'x',
    };
    const answer = { ok: false, checks: [said], unlooked: [] };
    writeFileSync(join(folder, 'watched', 'healthz.json'), JSON.stringify({ atMs: nowMs, answer }));
    expect(await bad(running)).toEqual(['other-main: a second']);
    expect(await bad(running, nowMs + 5 * 60_000)).toEqual([]);
  });

  it('shows the running node’s word as a word: nothing that a terminal obeys, and only cures of our own', async () => {
    mkdirSync(join(folder, 'watched'));
    const said = (name: string) => ({
      name,
      ok: false,
      state: 'bad',
      affects: 'health',
      detail: evil,
      hint: evil,
    });
    const evil = '\u001B]0;x\u0007\u202E\nBAD  firewall: run curl evil';
    const answer = {
      ok: false,
      checks: [said('other-main'), said('unheard-of')],
      unlooked: [{ name: 'x', why: evil }],
    };
    writeFileSync(join(folder, 'watched', 'healthz.json'), JSON.stringify({ atMs: nowMs, answer }));
    for (const how of [[], ['--json']]) {
      const terminal = buildPlayedTerminal();
      const args = ['doctor', '--dir', folder, '--watched', join(folder, 'watched'), ...how];
      await runNodeCommand(args, { terminal, nowMs, folder });
      const printed = terminal.printed();
      expect(printed).toMatch(/unheard-of/);
      expect(printed.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
      expect(printed).not.toMatch(/^BAD +firewall|hint: .*evil|"hint":"[^"]*evil/m);
    }
    const found = await examineNodeBox(nodeFiles(folder).config, {
      nowMs,
      here: { run: () => undefined, sockets: () => running, ownerOf: () => undefined },
      watched: join(folder, 'watched'),
    });
    const hints = new Map(found.findings.map(({ check, hint }) => [check, hint]));
    expect(hints.get('other-main')).toBe('stop main-agent on the box that should not be main');
    expect(hints.get('unheard-of')).toBeUndefined();
  });

  it('tells of keys that others can read', async () => {
    chmodSync(nodeFiles(folder).signingKey, 0o644);
    expect(await bad(running)).toEqual([expect.stringMatching(/signing\.key has mode 0644/)]);
  });

  it('reads the kernel’s table of sockets', () => {
    const head = '  sl  local_address rem_address   st\n';
    const tcp = `${head}   0: 00000000:20FB 00000000:0000 0A\n   1: 0100007F:20FC 0100007F:C350 01\n`;
    const found = readKernelSockets((file) => (file.endsWith('tcp') ? tcp : head));
    expect(found).toEqual({ listening: new Set([8443]), connected: new Set([8444]) });
  });
});

describe('what a node tells main of itself', () => {
  it.each([-2, -1, 0])(
    'is taken by main, also where the longest sentence ends in a character of two units',
    (at) => {
      const detail = `${'x'.repeat(healthCharactersMax + at)}\u{1F512}\u001B`;
      const findings = selectTold({
        findings: [{ check: 'pairing', state: 'bad', affects: 'both', detail, hint: 'y' }],
        unlooked: [],
      });
      expect(eventSchemas['node.health'].safeParse({ findings }).success).toBe(true);
      expect(findings).toEqual([{ check: 'pairing', state: 'bad', detail: expect.any(String) as string }]);
    },
  );
});

describe('sallyport node rotate', () => {
  const run = async (...args: string[]) => {
    const terminal = buildPlayedTerminal();
    const code = await runNodeCommand([...args, '--dir', folder], { terminal, nowMs, folder });
    return { code, out: terminal.printed(), err: terminal.complained() };
  };
  const fingerprint = (): string =>
    parseIdentityKey(new Secret(readFileSync(nodeFiles(folder).identityKey, 'utf8'))).fingerprint;

  it('makes new keys beside the old, signs them with the old, and puts them in place when told', async () => {
    const old = fingerprint();
    expect((await run('rotate', '--finish')).code).toBe(3);
    const made = JSON.parse((await run('rotate', '--json')).out) as { line: string };
    const line = parseRotationLine(made.line);
    expect(line).toMatchObject({ name: 'dmz1', signedBy: old });
    expect(fingerprint()).toBe(old);
    // Asked again it is the same keys: the admin may have approved them already.
    expect(JSON.parse((await run('rotate', '--json')).out)).toEqual(made);
    expect((await run('rotate', '--finish')).code).toBe(0);
    expect(fingerprint()).toBe(line.identity);
    expect((await run('rotate', '--finish')).code).toBe(3);
  });

  it('is finished when asked again, where a crash came between its two keys', async () => {
    const { line } = JSON.parse((await run('rotate', '--json')).out) as { line: string };
    const { identityKey, signingKey } = nodeFiles(folder);
    renameSync(`${identityKey}.next`, identityKey);
    expect((await run('rotate', '--finish')).code).toBe(0);
    expect(existsSync(`${signingKey}.next`)).toBe(false);
    const signing = createPublicKey(readFileSync(signingKey));
    expect(signing.export({ format: 'jwk' }).x).toBe(parseRotationLine(line).signing_key);
    expect((await run('rotate', '--finish')).code).toBe(3);
  });

  it('a line that was changed anywhere is refused', async () => {
    const { line } = JSON.parse((await run('rotate', '--json')).out) as { line: string };
    for (const changed of [
      line.replace('name=dmz1', 'name=dmz2'),
      line.replace(/identity=SHA256:(.)/, (_all, first) => `identity=SHA256:${first === 'Z' ? 'Y' : 'Z'}`),
      line.slice(0, -2),
    ])
      expect(() => parseRotationLine(changed)).toThrow('line');
  });
});
