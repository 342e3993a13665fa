import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runNodeCommand } from '#dmz/cli/run.ts';
import { runCommand } from '#main-agent/cli/run.ts';
import { type MailSink, startMailSink } from '#scripts/demonstration/mail-sink.ts';
import type { Examination, Finding } from '#shared/health/check.ts';
import { renderReport, reportFile } from '#shared/health/report.ts';
import { buildDemoUser } from '#test/harness/demo-user.ts';
import { HttpsSession } from '#test/harness/https-session.ts';
import { buildPlayedTerminal } from '#test/harness/played-terminal.ts';
import { waitUntil } from '#test/harness/product.ts';
import { startWholeProduct, watchedBeside, type WholeProduct } from '#test/harness/whole-product.ts';

/** One running installation. Something is broken, every tool says the same sentence with its cure; mended, all are well. */

const diskMiB = 4;
/** Main hears of a node's faults within seconds. */
const toldMs = 30_000;
let folder: string;
let disk: string;
let product: WholeProduct;
let mail: MailSink;
let mailPort: number;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-truth-'));
  disk = join(folder, 'disk');
  mkdirSync(disk);
  // Takes root: a small disk of its own.
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${diskMiB}m,mode=700`, 'tmpfs', disk]);
  product = await startWholeProduct({
    users: [buildDemoUser('alice', { isEnrolled: true, requiredOn: ['https', 'sftp'] })],
    folder,
    changeMain: (config) => {
      const file = join(disk, 'state.db');
      copyFileSync(config.state.file, file);
      mailPort = config.smtp?.port ?? 0;
      return { ...config, state: { ...config.state, file } };
    },
    changeDmz: (config) => {
      const { listen } = config.link;
      const yaml = join(folder, 'site', 'dmz', 'dmz.yaml');
      if (listen.type === 'tcp')
        writeFileSync(
          yaml,
          readFileSync(yaml, 'utf8').replace(/(link:\n\s+listen: "?127\.0\.0\.1:)\d+/, `$1${listen.port}`),
        );
      return config;
    },
  });
  mail = await startMailSink(product.files.mail, mailPort);
});
afterAll(async () => {
  await product.close();
  await mail.close();
  execFileSync('umount', [disk]);
  await rm(folder, { recursive: true, force: true });
});

interface Tool {
  readonly said: string;
  readonly code: number;
}

async function sallyport(...args: string[]): Promise<Tool> {
  const terminal = buildPlayedTerminal();
  const { main } = product.files;
  const all = ['--socket', main.socket, '--config', main.config, ...args];
  const code = await runCommand(all, { terminal, folder: '/nonexistent', nowMs: Date.now(), actor: 'eva' });
  return { said: terminal.printed(), code };
}

async function node(...args: string[]): Promise<Tool> {
  const terminal = buildPlayedTerminal();
  const { config } = product.files.dmz;
  const all = [...args, '--dir', dirname(config), '--watched', watchedBeside(config)];
  const code = await runNodeCommand(all, { terminal, folder: '/nonexistent', nowMs: Date.now() });
  return { said: terminal.printed(), code };
}

function checkConfig(side: 'dmz' | 'main-agent'): Tool {
  const file = side === 'dmz' ? product.files.dmz.config : product.files.main.config;
  const program = fileURLToPath(new URL(`../../${side}/main.ts`, import.meta.url));
  const said = execFileSync(process.execPath, [program, '--config', file, '--check-config'], {
    encoding: 'utf8',
  });
  return { said, code: 0 };
}

/** As the command line shows it, so that one sentence is looked for everywhere. */
async function healthz(of: 'dmz' | 'main'): Promise<Tool> {
  const answer = JSON.parse(await product.health(of)) as {
    ok: boolean;
    checks: { name: string; detail: string; hint?: string }[];
  };
  const lines = answer.checks.map(
    ({ name, detail, hint }) => `${name}: ${detail}\n      hint: ${hint ?? ''}\n`,
  );
  return { said: lines.join(''), code: answer.ok ? 0 : 1 };
}

const mainTools: Readonly<Record<string, () => Promise<Tool> | Tool>> = {
  doctor: () => sallyport('doctor'),
  status: () => sallyport('status'),
  healthz: () => healthz('main'),
  'config check': () => sallyport('config', 'check'),
};
const nodeTools: typeof mainTools = {
  'node doctor': () => node('doctor'),
  'the node’s healthz': () => healthz('dmz'),
  '--check-config': () => checkConfig('dmz'),
  'main’s status': () => sallyport('status'),
  'main’s doctor': () => sallyport('doctor'),
};

interface Break {
  readonly title: string;
  /** Returns what mends it. */
  readonly make: () => (() => void | Promise<void>) | Promise<() => void | Promise<void>>;
  readonly sentence: RegExp;
  readonly state: 'bad' | 'warning';
  readonly tools?: typeof mainTools;
}

function swap(file: string, content: string | Buffer): () => void {
  const before = readFileSync(file);
  writeFileSync(file, content);
  return () => writeFileSync(file, before);
}

function leave(of: 'dmz' | 'main', finding: Omit<Finding, 'affects'>): () => void {
  const watched = watchedBeside(product.files[of].config);
  mkdirSync(watched, { recursive: true });
  const found: Examination = { findings: [{ ...finding, affects: 'health' }], unlooked: [] };
  writeFileSync(join(watched, reportFile), renderReport(found, Date.now()));
  return () =>
    writeFileSync(join(watched, reportFile), renderReport({ findings: [], unlooked: [] }, Date.now()));
}

const firewall = {
  check: 'firewall',
  state: 'bad',
  detail: 'the table `inet sallyport` is not loaded: nothing keeps this box closed',
  hint: 'nft -f /etc/sallyport/main-agent.nft',
} as const;

const breaks: readonly Break[] = [
  {
    title: 'another vault key lies in its place',
    make: () => swap(product.files.main.vaultKey, randomBytes(32)),
    sentence:
      /vault-key: the vault key opens none of \d+ stored secrets: it is another key\n +hint: put the key back/,
    state: 'bad',
  },
  {
    title: 'the disk of state.db is full',
    make: () => {
      const ballast = join(disk, 'ballast');
      const file = openSync(ballast, 'w');
      expect(() => {
        for (let blocks = 0; blocks <= diskMiB * 256; blocks += 1) writeSync(file, Buffer.alloc(4096));
      }).toThrow('ENOSPC');
      closeSync(file);
      return () => rmSync(ballast);
    },
    sentence: /disk-room: state: 0 % of the disk is free\n +hint: make room/,
    state: 'bad',
  },
  {
    title: 'the mail relay is down',
    make: async () => {
      await mail.close();
      return async () => {
        mail = await startMailSink(product.files.mail, mailPort);
      };
    },
    sentence: /mail: the relay 127\.0\.0\.1:\d+ can not be used: .*ECONNREFUSED.*\n +hint: host, port, tls/,
    state: 'bad',
  },
  {
    title: 'a user file can not be read',
    make: () => {
      const file = join(product.files.main.users, 'broken.yaml');
      writeFileSync(file, 'username: [\n');
      return () => rmSync(file);
    },
    sentence: /user-files: .*broken\.yaml:\d+:\d+: .*\n +hint: \S/,
    state: 'bad',
  },
  {
    title: 'somebody is let in with a password alone',
    make: () => {
      const file = join(product.files.main.users, 'alice.yaml');
      return swap(file, readFileSync(file, 'utf8').replace(/required_on: \[.*?\]/, 'required_on: []'));
    },
    sentence:
      /password-alone: 1 user is let in with a password alone: alice\n +hint: two_factor\.required_on/,
    state: 'warning',
  },
  {
    title: 'root found the firewall of main’s box open',
    make: () => leave('main', firewall),
    sentence: /firewall: the table `inet sallyport` is not loaded.*\n +hint: nft -f/,
    state: 'bad',
  },
];

/** Made and mended together: main looks at what a node says every few seconds. */
const nodeBreaks: readonly Break[] = [
  {
    title: 'the node’s certificate has another key',
    make: () =>
      swap(
        product.files.dmz.key,
        String(
          generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
            type: 'pkcs8',
            format: 'pem',
          }),
        ),
      ),
    sentence:
      /certificate-key: the key does not belong to the certificate\n +hint: (https\.key must be|`sallyport node doctor`)/,
    state: 'bad',
    tools: nodeTools,
  },
  {
    title: 'the chain of the node’s certificate is missing',
    make: () => {
      const pem = readFileSync(product.files.dmz.certificate, 'utf8');
      const end = '-----END CERTIFICATE-----\n';
      return swap(product.files.dmz.certificate, pem.slice(0, pem.indexOf(end) + end.length));
    },
    sentence:
      /certificate-chain: the chain is missing: nothing leads to .*\n +hint: (the certificates between|`sallyport node doctor`)/,
    state: 'warning',
    tools: nodeTools,
  },
  {
    title: 'root found the firewall of the DMZ box open',
    make: () => leave('dmz', { ...firewall, hint: 'nft -f /etc/sallyport/dmz.nft' }),
    sentence:
      /firewall: the table `inet sallyport` is not loaded.*\n +hint: `?nft -f \/etc\/sallyport\/dmz\.nft/,
    state: 'bad',
    // `node doctor` looks at the box itself, and `--check-config` at files alone.
    tools: Object.fromEntries(
      Object.entries(nodeTools).filter(([name]) => !/^(node doctor|--check-config)$/.test(name)),
    ),
  },
];

describe('one truth', () => {
  it('is that all is well, as far as was looked at', async () => {
    await waitUntil(async () => (await sallyport('status')).code === 0, toldMs);
    const { said } = await sallyport('status');
    expect(said).toContain('All is well, as far as was looked at');
    expect(said).toContain('main-agent-watch.timer has not looked at this box');
    for (const [name, tool] of Object.entries({ ...mainTools, ...nodeTools }))
      expect(await tool(), name).toMatchObject({ code: 0 });
  });

  const isSaid = async ({ sentence, tools = mainTools }: Break, wanted: boolean): Promise<void> => {
    for (const [name, tool] of Object.entries(tools)) {
      const agrees = async (): Promise<boolean> => sentence.test((await tool()).said) === wanted;
      await waitUntil(agrees, toldMs).catch(async () => {
        expect((await tool()).said, `${name}: ${String(sentence)} is ${wanted ? 'said' : 'over'}`).toBe('');
      });
    }
  };

  it.each([...breaks.map((one) => [one]), nodeBreaks])(
    'when $title every tool says so with its cure; mended, all are well',
    async (...broken) => {
      const mends: (() => void | Promise<void>)[] = [];
      const isBad = broken.some(({ state }) => state === 'bad');
      try {
        for (const { make } of broken) mends.push(await make());
        for (const one of broken) await isSaid(one, true);
        expect((await sallyport('status')).code).toBe(isBad ? 1 : 0);
        expect((await sallyport('doctor')).code).toBe(isBad ? 1 : 0);
      } finally {
        for (const mend of mends) await mend();
      }
      for (const one of broken) await isSaid(one, false);
      await waitUntil(async () => (await sallyport('status')).code === 0, toldMs);
      expect((await sallyport('doctor')).code).toBe(0);
    },
  );
});

describe('a fault of ours', () => {
  it('has a record under the reference that the client is shown', async () => {
    const session = new HttpsSession(product.https, product.files.ca);
    // A folder stands where alice's enrolment was: reading it fails in a way that nothing foresees.
    const file = join(product.files.main.enrolments, 'alice.yaml');
    renameSync(file, `${file}.away`);
    mkdirSync(file);
    try {
      const login = { username: 'alice', password: product.password('alice') };
      const { status, body } = await session.json('POST', '/api/login', login);
      expect({ status, code: body['code'] }).toEqual({ status: 500, code: 'internal' });
      const reference = String(body['reference']);
      const { said, code } = await sallyport('audit', 'show', reference);
      expect(code).toBe(0);
      expect(said).toMatch(/fault[\s\S]*failed/);
      await waitUntil(
        async () => (await product.audit()).some((one) => one['reference'] === reference),
        toldMs,
      );
      expect((await product.audit()).find((one) => one['reference'] === reference)).toMatchObject({
        event: 'fault',
        outcome: 'failed',
        node: 'dmz1',
        rule: expect.stringMatching(/^login\./) as string,
        detail: expect.stringContaining('EISDIR') as string,
      });
    } finally {
      expect(readdirSync(file)).toEqual([]);
      rmSync(file, { recursive: true });
      renameSync(`${file}.away`, file);
    }
  });
});
