import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nobody } from '#dmz/config.ts';
import { kernelChecks } from '#dmz/cli/doctor.ts';
import { runNodeCommand } from '#dmz/cli/run.ts';
import { nodeChecks, nodeRunningChecks, nodeSetupChecks } from '#dmz/health/node-checks.ts';
import { runCommand } from '#main-agent/cli/run.ts';
import { loadMainAgentConfig } from '#main-agent/config.ts';
import { mainChecks } from '#main-agent/doctor/doctor.ts';
import { runningChecks, type RunningFacts } from '#main-agent/doctor/running-checks.ts';
import { setupChecks } from '#main-agent/doctor/setup-checks.ts';
import { startMainAgent } from '#main-agent/system.ts';
import { type MailSink, startMailSink } from '#scripts/demonstration/mail-sink.ts';
import { boxChecks, type BoxCheckFacts } from '#shared/health/box-checks.ts';
import { examine, type HealthCheck } from '#shared/health/check.ts';
import { systemClock } from '#shared/clock.ts';
import { generateIdentityKey } from '#shared/identity/identity-key.ts';
import { buildLog } from '#shared/log.ts';
import { answerFile, renderAnswer, renderReport, reportFile } from '#shared/health/report.ts';
import type { DemoUser } from '#scripts/demonstration/users.ts';
import { buildDemoUser } from '#test/harness/demo-user.ts';
import { HttpsSession } from '#test/harness/https-session.ts';
import { buildPlayedTerminal } from '#test/harness/played-terminal.ts';
import { waitUntil } from '#test/harness/product.ts';
import { unchanged } from '#test/harness/unchanged.ts';
import { provisionSite } from '#scripts/demonstration/provision.ts';
import { findFreePort } from '#scripts/demonstration/free-port.ts';
import { siteFiles } from '#scripts/demonstration/site-files.ts';
import { startWholeProduct, watchedBeside, type WholeProduct } from '#test/harness/whole-product.ts';

/** One running installation. Something is broken, every tool says the same sentence with its cure; mended, all are well. */

const diskMiB = 4;
/** Main hears of a node's faults within seconds. */
const toldMs = 30_000;
let folder: string;
let disk: string;
let product: WholeProduct;
let admin: { readonly certificate: string; readonly key: string };
let gateway: Gateway;
let mail: MailSink;
let mailPort: number;
let linkPort: number;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-truth-'));
  disk = join(folder, 'disk');
  mkdirSync(disk);
  // Takes root: a small disk of its own.
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${diskMiB}m,mode=700`, 'tmpfs', disk]);
  const users = [buildDemoUser('alice', { isEnrolled: true, requiredOn: ['https', 'sftp'] })];
  gateway = await startGateway(0);
  await configureMain(users);
  product = await startWholeProduct({
    users,
    folder,
    changeMain: (config) => {
      const file = join(disk, 'state.db');
      copyFileSync(config.state.file, file);
      mailPort = config.smtp?.port ?? 0;
      return { ...config, state: { ...config.state, file } };
    },
    changeDmz: (config) => {
      const { listen } = config.link;
      linkPort = listen.type === 'tcp' ? listen.port : 0;
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

/** An SMS gateway, and the admin API by TLS with a certificate of its own. */
async function configureMain(users: readonly DemoUser[]): Promise<void> {
  const files = siteFiles(join(folder, 'site'));
  await provisionSite(files, { httpsPort: findFreePort(), sftpPort: findFreePort(), users });
  admin = { certificate: join(folder, 'admin.pem'), key: join(folder, 'admin.key') };
  copyFileSync(files.dmz.certificate, admin.certificate);
  copyFileSync(files.dmz.key, admin.key);
  const more = `, listen: "127.0.0.1:${findFreePort()}", certificate: ${admin.certificate}, key: ${admin.key} }`;
  const yaml = readFileSync(files.main.config, 'utf8');
  const sms = `sms: { url: "http://127.0.0.1:${gateway.port}/", body: "{otp_token}" }\n`;
  writeFileSync(files.main.config, sms + yaml.replace(/(admin: \{ socket: \S+) \}/, `$1${more}`));
}

/** Takes what comes. */
async function startGateway(port: number): Promise<Gateway> {
  const server = createServer((_request, response) => response.end()).listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

interface Gateway {
  readonly port: number;
  close(): Promise<void>;
}

afterAll(async () => {
  await product.close();
  await mail.close();
  await gateway.close();
  execFileSync('umount', [disk]);
  await rm(folder, { recursive: true, force: true });
});

interface Tool {
  readonly said: string;
  readonly code: number;
}

async function sallyport(...args: string[]): Promise<Tool> {
  return askMain(product.files.main.socket, ...args);
}

async function askMain(socket: string, ...args: string[]): Promise<Tool> {
  const terminal = buildPlayedTerminal();
  const { main } = product.files;
  const all = ['--socket', socket, '--config', main.config, ...args];
  const code = await runCommand(all, { terminal, folder: '/nonexistent', nowMs: Date.now(), actor: 'eva' });
  return { said: terminal.printed(), code };
}

async function node(...args: string[]): Promise<Tool> {
  const terminal = buildPlayedTerminal();
  const { config } = product.files.dmz;
  const watched = watchedBeside(config);
  // As the watch does it every half minute.
  mkdirSync(watched, { recursive: true });
  writeFileSync(join(watched, answerFile), renderAnswer(await product.health('dmz'), Date.now()));
  const all = [...args, '--dir', dirname(config), '--watched', watched];
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
    unlooked: { name: string; why: string }[];
  };
  const lines = answer.checks.map(
    ({ name, detail, hint }) => `${name}: ${detail}\n      hint: ${hint ?? ''}\n`,
  );
  const others = answer.unlooked.map(({ name, why }) => `${name}: not looked at: ${why}\n`);
  return { said: [...lines, ...others].join(''), code: answer.ok ? 0 : 1 };
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
  /** Each begins with the name of its check. */
  readonly sentences: readonly RegExp[];
  readonly state: 'bad' | 'warning';
  readonly tools?: typeof mainTools;
}

function swap(file: string, content: string | Buffer): () => void {
  const before = readFileSync(file);
  writeFileSync(file, content);
  return () => writeFileSync(file, before);
}

function makeKeyPem(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return String(privateKey.export({ type: 'pkcs8', format: 'pem' }));
}

function leafOf(pem: string): string {
  const end = '-----END CERTIFICATE-----\n';
  return pem.slice(0, pem.indexOf(end) + end.length);
}

/** What root would find there is left as the watch leaves it. */
async function leave(of: 'dmz' | 'main', ids: readonly string[]): Promise<() => void> {
  const watched = watchedBeside(product.files[of].config);
  mkdirSync(watched, { recursive: true });
  const side = of === 'dmz' ? 'dmz' : 'main-agent';
  const checks = boxChecks.filter(({ id }) => ids.includes(id));
  const found = await examine(checks, describeBrokenBox(side));
  writeFileSync(join(watched, reportFile), renderReport(found, Date.now()));
  return () => rmSync(join(watched, reportFile));
}

function describeBrokenBox(side: string): BoxCheckFacts {
  const unit = {
    id: `${side}.service`,
    active: 'failed',
    result: 'exit-code',
    startsAtBoot: true,
    needsDaemonReload: false,
    startedAtMs: 0,
    mainPid: 0,
    readWritePaths: [],
    socketName: '',
    listens: [],
    credentials: new Map(),
    missing: new Map(),
    newer: [],
    sockets: [],
  };
  return {
    box: {
      side,
      unit: { seen: unit },
      firewall: { seen: { isLoaded: false, open: [], isPersistent: true } },
      clock: { seen: { isSynchronized: false } },
    },
    credentials: ['key'],
    sockets: ['https'],
    ports: [],
    written: [{ what: 'state.db', folder: '/elsewhere' }],
    listening: new Set(),
    ownerOf: () => undefined,
  };
}

const box: Readonly<Record<string, RegExp>> = {
  unit: /unit: \S+\.service is failed \(exit-code\)\n +hint: `?journalctl -u/,
  credentials:
    /credentials: `credential:key` is in the configuration, and .* does not hand it over\n +hint: (systemctl edit|a drop-in)/,
  sockets:
    /sockets: `systemd:https` is in the configuration, and no socket unit .*\n +hint: (FileDescriptorName=https|`systemctl status)/,
  writable:
    /writable: state\.db lies in \/elsewhere, where .* may not write\n +hint: (systemctl edit|a drop-in)/,
  firewall:
    /firewall: the table `inet sallyport` is not loaded.*\n +hint: `?nft -f \/etc\/sallyport\/(dmz|main-agent)\.nft/,
  'clock-sync': /clock-sync: the clock of this box follows no time server\n +hint: `?timedatectl/,
};

/** `node doctor` reads what the watch heard from the node; `--check-config` looks at files alone. */
const runningNodeTools = Object.fromEntries(
  Object.entries(nodeTools).filter(([name]) => name !== '--check-config'),
);

function breakBox(of: 'dmz' | 'main', ids: readonly string[]): Break {
  return {
    title: `root found of ${of}’s box: ${ids.join(', ')}`,
    make: () => leave(of, ids),
    sentences: ids.flatMap((id) => box[id] ?? []),
    state: 'bad',
    tools: of === 'dmz' ? runningNodeTools : mainTools,
  };
}

/**
 * The running system’s own check is told other facts: what it looks at can not be broken here within a second. All that
 * says what it found is the product’s.
 */
function inject<Facts extends object>(
  checks: readonly HealthCheck<Facts>[],
  {
    sentence,
    facts: change,
    ...row
  }: Pick<Break, 'state' | 'tools'> & {
    readonly sentence: RegExp;
    readonly facts: (facts: Facts) => Partial<Facts>;
  },
): Break {
  const id = idOf(sentence);
  return {
    ...row,
    title: `${id} (injected)`,
    make: () => {
      const check = checks.find((one) => one.id === id);
      if (check === undefined) throw new Error(`there is no check ${id}`);
      const { look } = check;
      Reflect.set(check, 'look', (facts: Facts) => look({ ...facts, ...change(facts) }));
      return () => void Reflect.set(check, 'look', look);
    },
    sentences: [sentence],
  };
}

function idOf({ source }: RegExp): string {
  return /^[a-z-]+/.exec(source)?.[0] ?? '';
}

type NodeLink = ReturnType<RunningFacts['nodes']>[number]['links'][number];

function changeLinks({ nodes }: RunningFacts, change: (link: NodeLink) => readonly NodeLink[]) {
  return { nodes: () => nodes().map((one) => ({ ...one, links: one.links.flatMap(change) })) };
}

const later = 50 * 365 * 86_400_000;

const breaks: readonly Break[] = [
  {
    title: 'another vault key lies in its place',
    make: () => swap(product.files.main.vaultKey, randomBytes(32)),
    sentences: [
      /vault-key: the vault key opens none of \d+ stored secrets: it is another key\n +hint: put the key back/,
    ],
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
    sentences: [
      /disk-room: state: 0 % of the disk is free\n +hint: make room/,
      /state-writable: where state\.db lies nothing can be written: ENOSPC\n +hint: room on that disk/,
    ],
    state: 'bad',
  },
  {
    title: 'the mail relay and the SMS gateway are down',
    make: async () => {
      await mail.close();
      await gateway.close();
      return async () => {
        mail = await startMailSink(product.files.mail, mailPort);
        gateway = await startGateway(gateway.port);
      };
    },
    sentences: [
      /mail: the relay 127\.0\.0\.1:\d+ can not be used: .*ECONNREFUSED.*\n +hint: host, port, tls/,
      /text-messages: the SMS gateway can not be reached: .*ECONNREFUSED.*\n +hint: section sms/,
    ],
    state: 'bad',
  },
  {
    title: 'a user file can not be read',
    make: () => {
      const file = join(product.files.main.users, 'broken.yaml');
      writeFileSync(file, 'username: [\n');
      return () => rmSync(file);
    },
    sentences: [/user-files: .*broken\.yaml:\d+:\d+: .*\n +hint: \S/],
    state: 'bad',
  },
  {
    title: 'somebody is let in with a password alone',
    make: () => {
      const file = join(product.files.main.users, 'alice.yaml');
      return swap(file, readFileSync(file, 'utf8').replace(/required_on: \[.*?\]/, 'required_on: []'));
    },
    sentences: [
      /password-alone: 1 user is let in with a password alone: alice\n +hint: two_factor\.required_on/,
    ],
    state: 'warning',
  },
  {
    title: 'a link lies on a storage',
    make: () => {
      const file = join(product.files.files, 'alice', 'link');
      symlinkSync('/nowhere', file);
      return () => rmSync(file);
    },
    sentences: [
      /storages: local: 1 entry is not served .*\n +hint: other programs put them there/,
      /storages: local: not served: .*\/alice\/link \(a link\)\n +hint: rename or remove/,
    ],
    state: 'warning',
  },
  breakBox('main', Object.keys(box)),
];

/** Made and mended together: main looks at what a node says every few seconds. */
const nodeBreaks: readonly Break[] = [
  {
    title: 'the node’s certificate has another key',
    make: () => swap(product.files.dmz.key, makeKeyPem()),
    sentences: [
      /certificate-key: the key does not belong to the certificate\n +hint: (https\.key must be|`sallyport node doctor`)/,
    ],
    state: 'bad',
    tools: nodeTools,
  },
  {
    title: 'the chain of the node’s certificate is missing',
    make: () => {
      const file = product.files.dmz.certificate;
      return swap(file, leafOf(readFileSync(file, 'utf8')));
    },
    sentences: [
      /certificate-chain: the chain is missing: nothing leads to .*\n +hint: (the certificates between|`sallyport node doctor`)/,
    ],
    state: 'warning',
    tools: nodeTools,
  },
  breakBox('dmz', ['unit', 'firewall', 'clock-sync']),
];

const nodeFiles: Break = {
  title: 'a door of dmz.yaml that nobody listens on',
  make: () => {
    const { config } = product.files.dmz;
    const yaml = readFileSync(config, 'utf8');
    const other = (): string => `$1${findFreePort()}`;
    return swap(
      config,
      yaml
        .replace(/(link:\n\s+listen: "?127\.0\.0\.1:)\d+/, other())
        .replace(/(health: { listen: "127\.0\.0\.1:)\d+/, other()),
    );
  },
  sentences: [
    /listeners: nobody listens on port \d+ \(health\)\n +hint: is the node running\? journalctl/,
    /main-link: main is not connected\n +hint: does main run/,
  ],
  // Of the kernel's table, at which `node doctor` alone looks.
  tools: { 'node doctor': nodeTools['node doctor'] ?? (() => node('doctor')) },
  state: 'warning',
};

const nodeSetup = (sentence: RegExp, facts: Parameters<typeof inject<NodeSetup>>[1]['facts']): Break =>
  inject(nodeSetupChecks, { sentence, facts, state: 'bad', tools: runningNodeTools });
const nodeRunning = (sentence: RegExp, facts: Parameters<typeof inject<NodeRunning>>[1]['facts']): Break =>
  inject(nodeRunningChecks, { sentence, facts, state: 'bad', tools: runningNodeTools });
type NodeSetup = Parameters<(typeof nodeSetupChecks)[number]['look']>[0];
type NodeRunning = Parameters<(typeof nodeRunningChecks)[number]['look']>[0];
type MainSetup = Parameters<(typeof setupChecks)[number]['look']>[0];

/** Main's status shows five of what nodes say. */
const injectedOfNode: readonly Break[] = [
  nodeSetup(
    /pairing: no main is trusted yet\n +hint: (sallyport nodes enrol|`sallyport node doctor`)/,
    ({ config }) => ({
      config: { ...config, link: { ...config.link, main: { ...config.link.main, identity: nobody } } },
    }),
  ),
  nodeSetup(
    /validated-logins: validated_logins is off.*\n +hint: (two_factor\.validated|`sallyport node doctor`)/,
    ({ config }) => ({
      config: { ...config, validatedLogins: false },
    }),
  ),
  nodeSetup(
    /certificate-name: is not for other\.example\.com: .*\n +hint: (a certificate for that name|`sallyport node doctor`)/,
    ({ config }) => ({ config: { ...config, publicUrl: 'https://other.example.com' } }),
  ),
  nodeSetup(/certificate-end: has ended\n +hint: (renew it|`sallyport node doctor`)/, ({ nowMs }) => ({
    nowMs: nowMs + later,
  })),
  nodeRunning(
    /certificate-given: main has not given a certificate yet.*\n +hint: (https\.acme|`sallyport node doctor`)/,
    () => ({
      waitsForCertificate: true,
    }),
  ),
];
const moreOfNode: readonly Break[] = [
  nodeRunning(
    /validated-logins-agree: validated_logins is true here and not on main\n +hint: (two_factor|`sallyport node doctor`)/,
    ({ config }) => ({ config: { ...config, validatedLogins: true }, mainValidatedLogins: false }),
  ),
  nodeRunning(
    /other-main: another main with main's key wanted the link, from 192\.0\.2\.9:1, .*\n +hint: (systemctl stop|stop main-agent|`sallyport node doctor`)/,
    () => ({ otherMain: '192.0.2.9:1' }),
  ),
  breakBox('dmz', ['credentials', 'sockets', 'writable']),
  nodeFiles,
];
const restOfNode: readonly Break[] = [
  nodeRunning(
    /host-keys-given: main has no SSH host keys for this node: .*\n +hint: (host_key: main|`sallyport node doctor`)/,
    () => ({ waitsForHostKeys: true }),
  ),
];

const running = (
  sentence: RegExp,
  facts: (facts: RunningFacts) => Partial<RunningFacts>,
  state: 'bad' | 'warning' = 'bad',
): Break => inject(runningChecks, { sentence, facts, state });
const setup = (
  sentence: RegExp,
  facts: (facts: MainSetup) => Partial<MainSetup>,
  state: 'bad' | 'warning' = 'bad',
): Break => inject(setupChecks, { sentence, facts, state });

const injectedOfMain: readonly Break[] = [
  setup(/validated-logins: validated_logins is off.*\n +hint: two_factor/, ({ config }) => ({
    config: { ...config, twoFactor: { ...config.twoFactor, validatedLogins: false } },
  })),
  setup(/admin-certificate-end: has ended\n +hint: renew admin\.certificate/, ({ nowMs }) => ({
    nowMs: nowMs + later,
  })),
  running(/vault: the vault is away, nobody can sign in: it ended\n +hint: journalctl -u/, () => ({
    vaultProblem: () => 'it ended',
  })),
  running(/links: dmz1 is not connected: the node shows another key\n +hint: is it running/, ({ nodes }) => ({
    nodes: () =>
      nodes().map((one) => ({
        ...one,
        state: 'down',
        links: [{ worker: 0, up: false, epoch: 1, problem: 'the node shows another key' }],
      })),
  })),
  running(/workers: worker 1 of dmz1 has no link: refused\n +hint: are the link ports/, (facts) =>
    changeLinks(facts, (link) => [link, { worker: 1, up: false, epoch: 0, problem: 'refused' }]),
  ),
  running(/lanes: the link to dmz1 \(worker 0\) has no data lane.*\n +hint: what is between/, (facts) =>
    changeLinks(facts, (link) => [{ ...link, lanes: 0, sinceMs: 0 }]),
  ),
  running(/clock-skew: the clock of dmz1 is 61 s from ours\n +hint: let both follow/, (facts) =>
    changeLinks(facts, (link) => [{ ...link, clockSkewMs: -61_000 }]),
  ),
  running(
    /validated-logins-agree: validated_logins is on here and OFF on dmz1: .*\n +hint: two_factor/,
    ({ config }) => ({
      config: { ...config, twoFactor: { ...config.twoFactor, validatedLogins: true } },
      links: () => [{ node: 'dmz1', validatedLogins: false, wantsHostKeys: true }],
    }),
  ),
  running(
    /host-keys-agree: host_key is main here and local on dmz1: .*\n +hint: host_key: main in its dmz\.yaml/,
    ({ config }) => ({
      config: { ...config, dmzNodes: config.dmzNodes.map((one) => ({ ...one, hostKey: 'main' })) },
      links: () => [{ node: 'dmz1', validatedLogins: true, wantsHostKeys: false }],
    }),
  ),
  running(/host-keys: dmz1: the host key that signs .*\n +hint: put the vault key or state\.db back/, () => ({
    hostKeyProblems: () => ['dmz1: the host key that signs (SHA256:x) can not be opened with this vault key'],
  })),
  running(/nodes: dmz1: listeners: a door is shut\n +hint: `sallyport node doctor`/, () => ({
    nodesOwn: () => [{ node: 'dmz1', check: 'listeners', state: 'bad', detail: 'a door is shut' }],
  })),
  running(/other-main: dmz1: another main\n +hint: systemctl stop main-agent/, () => ({
    otherMains: () => ['dmz1: another main'],
  })),
  running(/restored: state\.db was put back\n +hint: sallyport audit acknowledge/, () => ({
    restores: () => ['state.db was put back'],
  })),
  running(/audit: the audit file is not written: EROFS\n +hint: is there room/, () => ({
    auditProblem: () => 'EROFS',
  })),
  running(/audit-witnesses: dmz1 knows more\n +hint: sallyport audit verify/, () => ({
    headProblems: () => ['dmz1 knows more'],
  })),
  running(/collectors: it refuses\n +hint: is it up/, () => ({ readerProblems: () => ['it refuses'] })),
  running(/retention: a rule could not\n +hint: sallyport retention preview/, () => ({
    retentionProblems: () => ['a rule could not'],
  })),
  running(/certificate-renewal: the order failed\n +hint: port 80/, () => ({
    doorCertificateProblem: () => 'the order failed',
  })),
  running(/edge-events: some are missing\n +hint: sallyport audit tail/, () => ({
    eventProblems: () => ['some are missing'],
  })),
  running(/clock: the clock jumped by 90 s: .*\n +hint: look at the clock/, () => ({
    clockProblem: () => 90_000,
  })),
  running(/phone-clocks: phones differ\n +hint: check this box/, () => ({
    driftProblem: () => 'phones differ',
  })),
  running(/capacity: some are refused\n +hint: more processors/, () => ({
    overloadProblems: () => ['some are refused'],
  })),
  running(
    /given-names: came back .*: bob: .*`two-factor reset <user>`.*\n +hint: sallyport two-factor/,
    () => ({
      orphans: () => [{ username: 'bob', goneAtMs: 1, returnedAtMs: 2 }],
    }),
  ),
];

const warningsOfMain: readonly Break[] = [
  setup(
    /admin-listener: listens on 0\.0\.0\.0:8443, which may be every network\n +hint: admin\.listen/,
    ({ config }) => ({
      config: {
        ...config,
        admin: { ...config.admin, anyInterface: true, listen: { type: 'tcp', host: '0.0.0.0', port: 8443 } },
      },
    }),
    'warning',
  ),
  setup(
    /trusted-networks: no code is asked from 192\.0\.2\.0\/24 through dmz1; .*\n +hint: two_factor\.trusted/,
    ({ config }) => ({
      config: {
        ...config,
        twoFactor: { ...config.twoFactor, trustedNetworks: [{ cidr: '192.0.2.0/24', nodes: ['dmz1'] }] },
      },
    }),
    'warning',
  ),
  setup(
    /collector-authority: logs\.example\.com:6514 may show a certificate of any authority.*\n +hint: the authority/,
    ({ config }) => ({
      config: {
        ...config,
        audit: {
          ...config.audit,
          syslog: [
            {
              host: 'logs.example.com',
              port: 6514,
              events: [],
              ca: undefined,
              certificate: undefined,
              key: undefined,
            },
          ],
        },
      },
    }),
    'warning',
  ),
  setup(
    /unencrypted: checkpoints: goes to other\.example\.com unencrypted \(allow_plain\)\n +hint: an https/,
    ({ config }) => ({
      config: { ...config, audit: { ...config.audit, checkpointsTo: ['http://other.example.com/'] } },
    }),
    'warning',
  ),
  running(
    /versions: dmz1 runs sallyport 0\.0\.1, main .*\n +hint: install the same version/,
    (facts) => changeLinks(facts, (link) => [{ ...link, software: 'sallyport 0.0.1' }]),
    'warning',
  ),
];

/** Nobody looked at all: no fault, and never said to be well. */
const unlooked: Break = {
  ...running(
    /storage-names\W/,
    ({ surveys }) => ({
      surveys: async () => (await surveys()).map((one) => ({ ...one, isComplete: false })),
    }),
    'warning',
  ),
  sentences: [/storage-names.*main looks on in the background: local \(\d+ names so far\)/],
};

const adminCertificate: Break = {
  title: 'another key and no chain beside the certificate of main’s admin listener',
  make: () => {
    const mendKey = swap(admin.key, makeKeyPem());
    const mendChain = swap(admin.certificate, leafOf(readFileSync(admin.certificate, 'utf8')));
    return () => {
      mendKey();
      mendChain();
    };
  },
  sentences: [
    /admin-certificate-key: the key does not belong to the certificate\n +hint: admin\.key must be/,
    /admin-certificate-chain: the chain is missing: nothing leads to .*\n +hint: the certificates between/,
  ],
  state: 'bad',
};

/** Each made and mended together: a question costs as much for one as for all. */
const together: readonly (readonly Break[])[] = [
  nodeBreaks,
  injectedOfNode,
  moreOfNode,
  restOfNode,
  [adminCertificate],
  injectedOfMain,
  [...warningsOfMain, unlooked],
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

  const isSaid = async (rows: readonly Break[], wanted: boolean): Promise<void> => {
    for (const [name, tool] of Object.entries({ ...mainTools, ...nodeTools })) {
      const sentences = rows.flatMap((one) => ((one.tools ?? mainTools)[name] === tool ? one.sentences : []));
      if (sentences.length === 0) continue;
      const listOthers = async (): Promise<readonly RegExp[]> => {
        const { said } = await tool();
        return sentences.filter((one) => one.test(said) !== wanted);
      };
      await waitUntil(async () => (await listOthers()).length === 0, toldMs).catch(async () => {
        expect(
          await listOthers(),
          `${name} (${wanted ? 'not said' : 'not over'}): ${(await tool()).said}`,
        ).toEqual([]);
      });
    }
  };

  it.each(
    [...breaks.map((one) => [one]), ...together].map(
      (rows) => [rows.map(({ title }) => title).join(' · '), rows] as const,
    ),
  )('%s: every tool says so with its cure; mended, all are well', async (_title, rows) => {
    const mends: (() => void | Promise<void>)[] = [];
    const isBad = rows.some(({ state }) => state === 'bad');
    try {
      for (const { make } of rows) mends.push(await make());
      await isSaid(rows, true);
      expect((await sallyport('status')).code).toBe(isBad ? 1 : 0);
      expect((await sallyport('doctor')).code).toBe(isBad ? 1 : 0);
    } finally {
      for (const mend of mends) await mend();
    }
    await isSaid(rows, false);
    await waitUntil(async () => (await sallyport('status')).code === 0, toldMs);
    expect((await sallyport('doctor')).code).toBe(0);
  });

  it('has a row for each check of both nodes', () => {
    const idsOf = (rows: readonly Break[]) => new Set(rows.flatMap(({ sentences }) => sentences.map(idOf)));
    const rows = [...breaks, ...together.flat()];
    const isOfNode = ({ tools }: Break): boolean => tools !== undefined && tools !== mainTools;
    const missing = [
      ...mainChecks.filter(({ id }) => !idsOf(rows.filter((row) => !isOfNode(row))).has(id)),
      ...[...nodeChecks, ...kernelChecks].filter(({ id }) => !idsOf(rows.filter(isOfNode)).has(id)),
    ].map(({ id }) => id);
    expect(
      missing,
      'nobody has seen these checks break, be said alike everywhere, and be well again: give each a row',
    ).toEqual([]);
  });
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

/** Nothing of it is the first one’s but keys and users. */
async function startSecondMain(name: string, identity?: string) {
  const base = join(folder, name);
  const config = await loadMainAgentConfig(product.files.main.config);
  const storage = join(base, 'files');
  mkdirSync(storage, { recursive: true });
  const socket = join(base, 'admin.sock');
  const main = await startMainAgent(
    {
      ...config,
      dmzNodes: config.dmzNodes.map((one) => ({
        ...one,
        ...(identity !== undefined && { identity }),
        address: { host: '127.0.0.1', port: linkPort },
      })),
      state: { ...config.state, file: join(base, 'state.db') },
      audit: { ...config.audit, file: join(base, 'audit.jsonl') },
      storages: Object.fromEntries(
        Object.entries(config.storages).map(([key, one]) => [key, { ...one, base: storage }]),
      ),
      admin: { ...config.admin, socket, listen: undefined },
      health: { listen: undefined },
    },
    {
      clock: systemClock,
      log: buildLog('silent', {}),
      inherited: new Map(),
      reread: async () => unchanged(config),
      onStateFailure: () => undefined,
    },
  );
  const says = (sentence: RegExp) =>
    waitUntil(async () => {
      const tools = [await askMain(socket, 'status'), await askMain(socket, 'doctor')];
      return tools.every(({ said, code }) => sentence.test(said) && code === 1);
    }, toldMs);
  return { says, close: () => main.close() };
}

/** At the end: what another main did is told for some minutes. */
describe('a second main', () => {
  it('that knows another key of the node is told so, with what mends it', async () => {
    // What others broke before is told for a while.
    await waitUntil(async () => (await sallyport('status')).code === 0, toldMs);
    const second = await startSecondMain('unrotated', generateIdentityKey().fingerprint);
    try {
      await second.says(/links: dmz1 is not connected: .*sallyport node show.*\n +hint: is it running/);
    } finally {
      await second.close();
    }
    expect(await sallyport('status')).toMatchObject({ code: 0 });
  });

  it('with the same key is told who has the link; the first keeps it, and each of its tools says so', async () => {
    const second = await startSecondMain('copy');
    try {
      await second.says(/links: dmz1 is not connected: another main with this main's key is connected since/);
      const told =
        /other-main: dmz1: .* wanted the link, from .*, and was turned away.*\n +hint: systemctl stop/;
      for (const [name, tool] of Object.entries(mainTools)) {
        await waitUntil(async () => told.test((await tool()).said), toldMs);
        expect((await tool()).said, name).not.toMatch(/links: dmz1 is not connected/);
      }
    } finally {
      await second.close();
    }
  });
});
