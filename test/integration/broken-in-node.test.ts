import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCommand } from '#main-agent/cli/run.ts';
import { incidentReport, type IncidentReport } from '#main-agent/incident/report.ts';
import { Authenticator } from '#scripts/demonstration/codes.ts';
import type { AccountChange } from '#shared/link/messages.ts';
import { prepare } from '#test/drill/account-tries.ts';
import { signIn } from '#test/drill/login-tries.ts';
import { type EvilDmz, type EvilLink, type EvilNode, startEvilDmz } from '#test/harness/evil-dmz.ts';
import { buildPlayedTerminal } from '#test/harness/played-terminal.ts';

/**
 * Somebody owns `dmz1` and does what its users' sessions let them; `dmz2` is good, and people work through it. Then
 * main's administrator asks what happened, and undoes it. One day in the order of its hours.
 */
describe('S-15: the day on which a node was broken into', () => {
  let evil: EvilDmz;
  let good: EvilLink;
  let since = '';
  /** Has a second factor; what is read and written in her name comes through the evil node. */
  let ann = '';
  /** Works through the good node, and had a file that somebody else touched. */
  let ben = '';
  let goodSession = '';
  let op = 0;

  beforeAll(async () => {
    evil = await startEvilDmz({ people: 2, links: 1 }, (yaml) =>
      yaml.replace('two_factor:\n', 'two_factor:\n  self_service: { ssh_keys: anywhere }\n'),
    );
    good = await evil.freshLink();
    [ann, ben] = [evil.person(), evil.person()];
    for (const [name, text] of Object.entries({
      'secret.txt': 'what only she may know',
      'plan.txt': 'the plan as it was',
      'old.txt': 'deleted by nobody',
      'a.txt': 'called a',
      'shared.txt': 'the first',
    }))
      put(ann, name, text);
    put('frank', 'long.txt', 'a long file that a short one replaces');
    goodSession = await signIn(evil, ben, {}, good);
    since = new Date().toISOString();
  });
  afterAll(() => evil.close());

  const pathOf = (user: string, ...names: string[]): string => join(evil.files.files, user, ...names);
  const read = (user: string, ...names: string[]): string => readFileSync(pathOf(user, ...names), 'utf8');
  const list = (user: string): string[] => readdirSync(pathOf(user)).toSorted();
  function put(user: string, name: string, text: string): void {
    mkdirSync(pathOf(user), { recursive: true });
    writeFileSync(pathOf(user, name), text);
  }
  const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

  async function write(node: EvilNode, session: string, path: string[], text: string): Promise<void> {
    const mode = { read: false, write: true, create: 'if-missing', truncate: true, append: false } as const;
    const { handle } = await node.request('fs.open', { session, op: (op += 1), path, mode });
    const content = Buffer.from(text).toString('base64url');
    await node.request('fs.write', { session, op: (op += 1), handle, offset: 0, content });
    await node.request('fs.commit', { session, op: (op += 1), handle });
  }
  async function readWhole(node: EvilNode, session: string, path: string[]): Promise<string> {
    const mode = { read: true, write: false, create: 'never', truncate: false, append: false } as const;
    const opened = await node.request('fs.open', { session, op: (op += 1), path, mode, contentUpTo: 8192 });
    const text = Buffer.from(opened.content ?? '', 'base64url').toString();
    const taken = { bytes: text.length, end: text.length };
    await node.request('fs.release', { session, handle: opened.handle, keepPartial: false, taken });
    return text;
  }
  const rename = (session: string, from: string[], to: string[]) =>
    evil.request('fs.rename', { session, op: (op += 1), from, to, overwrite: false });

  async function ask(...args: readonly string[]): Promise<IncidentReport> {
    return incidentReport.parse(JSON.parse(await command(...args, '--json')));
  }
  async function command(...args: readonly string[]): Promise<string> {
    const terminal = buildPlayedTerminal();
    const line = ['--socket', evil.files.main.socket, 'nodes', 'incident', 'dmz1', '--since', since, ...args];
    const code = await runCommand(line, {
      terminal,
      folder: '/nonexistent',
      nowMs: Date.now(),
      actor: 'eva',
    });
    expect(terminal.complained()).toBe('');
    expect(code).toBe(0);
    return terminal.printed();
  }

  /** Every file of the site but the journal, which follows a moment after what was read, and every row of the state but those of a question that was asked. */
  function everything(): Readonly<Record<string, unknown>> {
    const files: Record<string, string> = {};
    for (const entry of readdirSync(evil.files.dir, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (entry.isFile() && !/state\.db|audit\.jsonl|\.log$|operations\.journal/.test(entry.name))
        files[path] = sha256(readFileSync(path, 'latin1'));
    }
    // Main has it for itself; nothing is written while nobody does anything.
    const copy = mkdtempSync(join(tmpdir(), 'sallyport-state-'));
    for (const end of ['', '-wal']) cpSync(`${evil.files.main.state}${end}`, join(copy, `state.db${end}`));
    const database = new DatabaseSync(join(copy, 'state.db'));
    const tables = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all();
    const rows = tables
      .map(({ name }) => String(name))
      .filter((name) => !name.startsWith('sqlite_'))
      .map((name) => [
        name,
        database
          .prepare(`SELECT * FROM "${name}"`)
          .all()
          .map((row) => JSON.stringify(row)),
      ]);
    database.close();
    rmSync(copy, { recursive: true });
    return { files, ...Object.fromEntries(rows) };
  }

  /** What was done to which file of whom, and what becomes of it. */
  const told = ({ files }: IncidentReport): string[] =>
    files.map(
      (one) =>
        `${one.user} ${one.what} ${one.path}${one.to_path === undefined ? '' : ` ${one.to_path}`}: ${one.undo.state}`,
    );

  it('somebody reads, writes, replaces, deletes and renames in the name of its users, and changes an account', async () => {
    const session = await signIn(evil, ann);
    expect(await readWhole(evil, session, ['secret.txt'])).toBe('what only she may know');
    await write(evil, session, ['evil.txt'], 'planted');
    await write(evil, session, ['plan.txt'], 'another plan');
    await write(evil, session, ['plan.txt'], 'yet another plan');
    await evil.request('fs.remove-file', { session, op: (op += 1), path: ['old.txt'] });
    await rename(session, ['a.txt'], ['b.txt']);
    await rename(session, ['b.txt'], ['c.txt']);
    await evil.request('fs.make-folder', { session, op: (op += 1), path: ['made'] });
    await evil.request('fs.copy', {
      session,
      op: (op += 1),
      from: ['secret.txt'],
      to: ['made', 'copy.txt'],
      overwrite: false,
    });
    await write(evil, session, ['x.part'], 'sent in two steps');
    await rename(session, ['x.part'], ['x.txt']);
    await write(evil, session, ['shared.txt'], 'the second');

    const sftp = await signIn(evil, 'frank', { protocol: 'sftp', listener: 'sftp' });
    await write(evil, sftp, ['long.txt'], 'short');
    await write(evil, sftp, ['both.txt'], 'the same words');

    const frank = await signIn(evil, 'frank');
    const key: AccountChange = {
      kind: 'add-ssh-key',
      value: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f evil@evil',
    };
    const params = await prepare(evil, { user: 'frank', session: frank }, key);
    expect(await evil.request('account.change', params)).toMatchObject({ outcome: 'changed' });

    const dave = await signIn(evil, 'dave');
    const { secret } = await evil.request('enrol.start', { session: dave });
    const setup = await evil.request('enrol.confirm', { session: dave });
    const code = new Authenticator(secret).now();
    const view = { ...setup, username: 'dave', expiresInMs: 0, next: 'code' } as const;
    const { assertion, salt = '' } = await evil.assert(view, { code, changes: { purpose: 'enrol' } });
    const proven = await evil.request('enrol.prove', { session: dave, assertion, code, salt });
    expect(proven.outcome).toBe('enrolled');

    const wrong = { type: 'password', password: 'mistyped it once' } as const;
    await expect(evil.begin('carol', { factor: wrong })).rejects.toMatchObject({ code: 'refused' });
  });

  it('while others work through a good node, one of them on a file that was touched', async () => {
    await write(good, goodSession, ['good.txt'], 'honest work');
    const frank = await signIn(evil, 'frank', {}, good);
    await write(good, frank, ['frank.txt'], 'honest work, too');
    await write(good, frank, ['both.txt'], 'the same words');
    // What she writes now is hers, whatever came there before.
    put(ann, 'shared.txt', 'the third, by herself');
    expect(list('frank')).toEqual(['both.txt', 'frank.txt', 'long.txt']);
  });

  it('a rehearsal lists exactly what was done through the node, and changes nothing', async () => {
    const before = everything();
    const report = await ask('--rehearse');
    expect(report).toMatchObject({ mode: 'rehearsed', node_state: { state: 'trusted' }, more: false });
    expect(report.known.gaps).toEqual([]);
    expect(told(report)).toEqual([
      'frank written /both.txt: left',
      'frank written /long.txt: would be',
      `${ann} written /shared.txt: left`,
      `${ann} renamed /x.part /x.txt: would be`,
      `${ann} written /x.part: would be`,
      `${ann} copied /secret.txt /made/copy.txt: would be`,
      `${ann} folder made /made: would be`,
      `${ann} renamed /b.txt /c.txt: would be`,
      `${ann} renamed /a.txt /b.txt: would be`,
      `${ann} deleted /old.txt: would be`,
      `${ann} written /plan.txt: would be`,
      `${ann} written /plan.txt: would be`,
      `${ann} written /evil.txt: would be`,
      `${ann} read /secret.txt: none`,
    ]);
    expect(report.files.find(({ path }) => path === '/evil.txt')).toMatchObject({
      bytes: 7,
      sha256: sha256('planted'),
      client_ip: '127.0.0.1',
    });
    expect(
      report.people.map(({ user, signed_in, factors, refused }) => ({ user, signed_in, factors, refused })),
    ).toEqual([
      { user: 'carol', signed_in: 0, factors: [], refused: { 'wrong-password': 1 } },
      { user: 'dave', signed_in: 1, factors: ['pwd none'], refused: {} },
      { user: 'frank', signed_in: 2, factors: ['pwd none'], refused: {} },
      { user: ann, signed_in: 1, factors: ['pwd totp'], refused: {} },
    ]);
    expect(report.people.every(({ password_seen: isSeen }) => isSeen)).toBe(true);
    expect(report.people[3]).toMatchObject({
      addresses: [{ value: '127.0.0.1', new: true }],
      agents: [{ value: 'evil/1', new: true }],
    });
    expect(report.sessions.map(({ user }) => user).toSorted()).toEqual(
      ['dave', 'dave', 'frank', 'frank', 'frank', ann].toSorted(),
    );
    expect(report.changes.map(({ kind, user, state }) => `${user} ${kind}: ${state}`).toSorted()).toEqual([
      'dave enrolled: in force',
      'frank ssh-key-added: in force',
    ]);
    expect(JSON.stringify(report)).not.toContain('honest');
    expect(JSON.stringify({ ...report, steps: [] })).not.toContain(ben);

    const text = await command('--rehearse');
    expect(text).toContain('rehearsal  nothing was changed');
    expect(text).toContain(`$ sallyport users passwd ${ann}`);
    // That it was asked stands in the audit, as of every question.
    const after = everything();
    const difference = Object.keys(after).filter(
      (of) => JSON.stringify(after[of]) !== JSON.stringify(before[of]),
    );
    expect(difference.filter((of) => !of.startsWith('audit'))).toEqual([]);
    const asked = (after['audit'] as string[]).filter((row) => !(before['audit'] as string[]).includes(row));
    expect(asked).toHaveLength(2);
    for (const row of asked) expect(row).toContain('GET /v1/nodes/{node}/incident');
    expect(evil.link.isUp).toBe(true);
  });

  it('the node is revoked, and what can be undone is', async () => {
    const report = await ask('--undo', '--reason', 'found a shell on it');
    expect(report.node_state.state).toBe('revoked now');
    expect(told(report).filter((one) => one.endsWith(': left'))).toEqual([
      'frank written /both.txt: left',
      `${ann} written /shared.txt: left`,
    ]);
    expect(report.files.find(({ path }) => path === '/both.txt')?.undo.note).toMatch(
      /^since then written by frank through dmz2 at /,
    );
    expect(told(report).filter((one) => one.endsWith(': undone'))).toHaveLength(11);
    expect(list(ann)).toEqual(['a.txt', 'old.txt', 'plan.txt', 'secret.txt', 'shared.txt']);
    expect(read(ann, 'plan.txt')).toBe('the plan as it was');
    expect(read(ann, 'old.txt')).toBe('deleted by nobody');
    expect(read(ann, 'a.txt')).toBe('called a');
    expect(read(ann, 'shared.txt')).toBe('the third, by herself');
    expect(read('frank', 'long.txt')).toBe('a long file that a short one replaces');
    expect(report.changes.map(({ user, kind, state }) => `${user} ${kind}: ${state}`).toSorted()).toEqual([
      'dave enrolled: revoked',
      'frank ssh-key-added: revoked',
    ]);
    const bin = await evil.admin('GET', '/v1/users/node%20dmz1/bin');
    const kept = (bin as { entries: { path: string }[] }).entries.map(({ path }) => path).toSorted();
    expect(kept).toEqual(
      [
        '/frank/long.txt',
        ...['evil.txt', 'made/copy.txt', 'plan.txt', 'plan.txt', 'x.part'].map((name) => `/${ann}/${name}`),
      ].toSorted(),
    );
  });

  it('nothing of those who worked through the good node was touched', async () => {
    expect(read(ben, 'good.txt')).toBe('honest work');
    expect(read('frank', 'frank.txt')).toBe('honest work, too');
    expect(read('frank', 'both.txt')).toBe('the same words');
    expect(await readWhole(good, goodSession, ['good.txt'])).toBe('honest work');
  });

  it('asked again it finds nothing to do, and says what it did before', async () => {
    const before = everything()['files'];
    const report = await ask('--undo');
    expect(report.node_state).toEqual({ state: 'revoked before' });
    expect(new Set(report.files.map(({ undo }) => undo.state))).toEqual(new Set(['left', 'before', 'none']));
    expect(report.changes.filter(({ state }) => state === 'revoked')).toEqual([]);
    expect(everything()['files']).toEqual(before);
    expect(await command('--undo')).toContain('undo    nothing to do, left 2');
  });
});
