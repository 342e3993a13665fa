import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { HttpsUser } from '#test/harness/https-user.ts';
import { Mailbox } from '#test/harness/mailbox.ts';
import { type Product, startProduct, waitUntil } from '#test/harness/product.ts';

const mainProgram = fileURLToPath(new URL('../../main-agent/main.ts', import.meta.url));
/** Starting, joining, refusing: seconds at most, on a busy machine too. */
const soonMs = 20_000;

/** main-agent/main.ts as an operator starts it by hand. */
interface OwnMain {
  readonly child: ChildProcess;
  readonly output: () => string;
  /** Resolves with its exit code. */
  readonly exit: Promise<number | null>;
}

describe('main on a state that was put back', () => {
  let product: Product;
  let config: string;
  let stateFile: string;
  const running = new Set<ChildProcess>();

  beforeAll(async () => {
    product = await startProduct();
    config = product.site.files.main.config;
    stateFile = product.site.files.main.state;
  });
  afterEach(async () => {
    for (const child of running) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  });
  afterAll(() => product.close());

  function startMain(file: string, ...options: readonly string[]): OwnMain {
    const child = spawn(process.execPath, [mainProgram, '--config', file, ...options], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.add(child);
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (bytes: Buffer) => (output += bytes.toString()));
    const exit = once(child, 'exit').then(([code]: (number | null)[]) => {
      running.delete(child);
      return code ?? null;
    });
    return { child, output: () => output, exit };
  }

  async function stopMain({ child, exit }: OwnMain): Promise<void> {
    child.kill('SIGTERM');
    await exit;
  }

  const nodeIsReady = async (): Promise<boolean> =>
    (await fetch(`${product.site.nodes[0]?.health}/readyz`)).ok;
  const copyState = (from: string, to: string): void => {
    for (const end of ['', '-wal', '-shm']) {
      rmSync(to + end, { force: true });
      if (existsSync(from + end)) cpSync(from + end, to + end);
    }
  };

  it('is refused without the flag; with it nothing spent works again, and audit verify says it for ever', async () => {
    const bob = new HttpsUser(product, 'bob');
    const mailbox = new Mailbox(product.site.files.mail, 'bob@example.com');
    await bob.password();
    await bob.code(await mailbox.code(1));
    const { app, recovery } = await bob.setUp();
    const [first = '', second = ''] = recovery;
    const session = new HttpsUser(product, 'bob');
    await session.password();
    expect(await session.code(await app.next())).toMatchObject({ body: { state: 'signed-in' } });
    await product.sallyport('tokens', 'add', '--service', 'afar', '--role', 'admin');
    const tokens = (): Promise<string> => product.sallyport('--json', 'tokens', 'list');
    const {
      tokens: [token],
    } = JSON.parse(await tokens()) as { tokens: { id: string }[] };

    const backup = join(product.folder, 'state.db');
    let release = await product.holdMain();
    copyState(stateFile, backup);
    await release();

    // What happens after the backup: a recovery code is used, a token revoked, a session signed out, a code used.
    await bob.password();
    expect(await bob.code(first)).toMatchObject({ body: { state: 'signed-in' } });
    await product.sallyport('tokens', 'revoke', token?.id ?? '');
    expect((await session.call('POST', '/api/logout')).status).toBe(204);
    expect(JSON.parse(await tokens())).toMatchObject({ tokens: [] });

    release = await product.holdMain();
    copyState(backup, stateFile);
    const refused = startMain(config);
    expect(await refused.exit).toBe(2);
    expect(refused.output()).toMatch(
      /older than what is known of it \(.*state\.db ends at audit record \d+ of .*audit\.jsonl has record \d+ of/,
    );
    expect(refused.output()).toContain(
      'hint: put the newest state.db back, or start main once with --accept-restored-state',
    );

    const main = startMain(config, '--accept-restored-state', 'the disk of main1 died');
    await waitUntil(nodeIsReady, soonMs);
    expect((await session.call('GET', '/api/session')).status).toBe(401);
    expect(JSON.parse(await tokens())).toMatchObject({ tokens: [] });
    for (const code of [first, second]) {
      await bob.password();
      expect(await bob.code(code)).toMatchObject({ status: 401 });
    }
    await waitUntil(() => mailbox.about(/recovery codes do not work/).length === 1, soonMs);

    // It is said until a person acknowledges it, and by the audit for ever.
    await expect(product.sallyport('status')).rejects.toThrow(/state\.db was put back/);
    await product.sallyport('audit', 'acknowledge', '--reason', 'restored by the night shift');
    expect(await product.sallyport('status')).toContain('All is well');
    const verify = ['--config', config, 'audit', 'verify'];
    expect(await product.sallyport(...verify)).toMatch(/unbroken[\s\S]*Put back: state\.db/);

    await stopMain(main);
    // Left in place, the flag accepts no second restore.
    const present = join(product.folder, 'present.db');
    copyState(stateFile, present);
    copyState(backup, stateFile);
    const again = startMain(config, '--accept-restored-state', 'the disk of main1 died');
    expect(await again.exit).toBe(2);
    expect(again.output()).toContain('This reason was given for another restore');
    copyState(present, stateFile);
    await release();
  });

  it('a copy of main is kept from the link while main lives, and ends when the node knows more than it', async () => {
    const copy = join(product.folder, 'copy');
    const release = await product.holdMain();
    cpSync(dirname(config), copy, { recursive: true, filter: (from) => !from.includes('/run/') });
    const text = readFileSync(config, 'utf8').replaceAll(`${dirname(config)}/`, `${copy}/`);
    const copied = join(copy, 'main-agent.yaml');
    writeFileSync(copied, text.replace(/^health: .*$/m, ''));
    await release();

    const socket = join(copy, 'run', 'admin.sock');
    const second = startMain(copied);
    const other = /another main with this main's key is connected since [^ ]+Z from (::ffff:)?127\.0\.0\.1/;
    await waitUntil(
      async () => other.test(await product.sallyport('--socket', socket, 'status').catch(String)),
      soonMs,
    );
    const wanted =
      /another main with this main's key wanted the link, from (::ffff:)?127\.0\.0\.1, and was turned away/;
    await expect(product.sallyport('status')).rejects.toThrow(wanted);
    expect(await nodeIsReady()).toBe(true);
    expect(product.audit().filter(({ event }) => event === 'link.other-main')).toHaveLength(1);

    // The first is gone: the second may have the link, but its state is not what the node was told of.
    await product.holdMain();
    expect(await second.exit).toBe(1);
    expect(second.output()).toContain('a node knows more than the state');
    const refused = startMain(copied);
    expect(await refused.exit).toBe(2);
    expect(refused.output()).toMatch(/dmz1 knows/);
    const accepted = startMain(copied, '--accept-restored-state', 'the copy is main now');
    await waitUntil(nodeIsReady, soonMs);
    await expect(product.sallyport('--socket', socket, 'status')).rejects.toThrow(/state\.db was put back/);
    await stopMain(accepted);
  });
});
