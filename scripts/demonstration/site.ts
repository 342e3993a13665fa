import { writePrivateFile } from './secrets.ts';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findFreePort, holdPort } from './free-port.ts';
import { bindListeners, canLeaveNetwork, type InheritedListeners } from './inherited-listeners.ts';
import { type MailSink, startMailSink } from './mail-sink.ts';
import { listNodes, provisionSite, type ProvisionedNode } from './provision.ts';
import type { SiteSecrets } from './secrets.ts';
import { readServiceCommand } from './service-command.ts';
import { siteFiles, type NodeFiles, type SiteFiles } from './site-files.ts';
import { supervise, type Supervised } from './supervisor.ts';
import { demoUsers, selfCheckUser, type DemoUser } from './users.ts';

/** A running DMZ node. */
export interface SiteNode {
  readonly name: string;
  readonly files: NodeFiles;
  readonly https: string;
  readonly sftp: { readonly host: string; readonly port: number; readonly hostKey: string };
  readonly process: Supervised;
  /** Origin of its health listener. */
  readonly health: string;
}

/** A whole installation on loopback: a DMZ node or two, main, a mail sink; each restarted when it dies. */
export interface Site {
  readonly files: SiteFiles;
  readonly nodes: readonly SiteNode[];
  /** Of the first node. */
  readonly https: SiteNode['https'];
  readonly sftp: SiteNode['sftp'];
  readonly dmz: Supervised;
  readonly users: SiteSecrets['users'];
  readonly main: Supervised;
  readonly mainHealth: string;
  /** Whether the DMZ nodes run as they are deployed: with the listening sockets they were given and no network. */
  readonly isDmzCutOff: boolean;
  /** From now on demo.json says where everything is, also after restarts. */
  publish(): void;
  stop(): Promise<void>;
}

interface SiteOptions {
  readonly dir: string;
  /** 0: a free one. */
  readonly httpsPort: number;
  readonly sftpPort: number;
  /** A second DMZ node, on free ports. */
  readonly withSecondNode?: boolean;
  readonly moreUsers?: readonly DemoUser[];
  readonly sftpProfile?: 'strict' | 'compat';
  /** Where the SSH host keys are; default on the nodes. */
  readonly hostKey?: 'main' | 'local';
  /** Processes of each DMZ node; default SALLYPORT_WORKERS, or one. */
  readonly workers?: number;
  /** Another program than main-agent/main.ts, for tests that look inside. */
  readonly mainProgram?: string;
}

const root = fileURLToPath(new URL('../..', import.meta.url));
/** What the unit file starts. */
const mainInstalled = '/opt/sallyport/main-agent/main.ts';
/** From spawn to a joined link: a second here; a machine under load may need many more. */
const readyMs = 60_000;
const pollMs = 50;

export async function startSite(options: SiteOptions): Promise<Site> {
  const files = siteFiles(options.dir);
  mkdirSync(files.dir, { recursive: true, mode: 0o700 });
  rmSync(files.demoJson, { force: true });
  const httpsPort = holdPort(options.httpsPort, 'HTTPS');
  const sftpPort = holdPort(options.sftpPort, 'SFTP');
  const second =
    options.withSecondNode === true
      ? { second: { httpsPort: findFreePort(), sftpPort: findFreePort() } }
      : {};
  const users = [...demoUsers, ...(options.moreUsers ?? [])];
  const isDmzCutOff = canLeaveNetwork();
  const workers = options.workers ?? Number(process.env['SALLYPORT_WORKERS'] ?? 1);
  const provision = {
    httpsPort,
    sftpPort,
    ...second,
    users,
    inheritsListeners: isDmzCutOff,
    workers,
    ...(options.sftpProfile !== undefined && { sftpProfile: options.sftpProfile }),
    ...(options.hostKey !== undefined && { hostKey: options.hostKey }),
  };
  const secrets = await provisionSite(files, provision);
  // Chosen when the folder was made: by now they may be somebody else's.
  const { second: secondPorts, ...ports } = secrets.ports;
  for (const [name, port] of Object.entries({ ...ports, ...secondPorts })) holdPort(port, name);
  const mail: MailSink = await startMailSink(files.mail, secrets.ports.mail);
  const mainHealth = healthOf(secrets.ports.mainHealth);
  let published = false;

  const write = (): void => {
    const { [selfCheckUser]: _own, ...visible } = secrets.users;
    const info = {
      https: first.https,
      ca_file: files.ca,
      sftp: { host: first.sftp.host, port: first.sftp.port, host_key: first.sftp.hostKey },
      admin_socket: files.main.socket,
      users_dir: files.main.users,
      files_dir: files.files,
      audit_file: files.main.audit,
      mail_dir: files.mail,
      dmz: side(files.dmz.config, first.process.pid, first.health),
      main_agent: side(files.main.config, main.pid, mainHealth),
      users: Object.fromEntries(
        Object.entries(visible).map(([name, user]) => [
          name,
          { password: user.password, totp_secret: user.totpSecret, ssh_key_file: user.sshKeyFile },
        ]),
      ),
    };
    writePrivateFile(files.demoJson, `${JSON.stringify(info, undefined, 2)}\n`);
  };
  const onStart = (): void => {
    if (published) write();
  };
  const command = readServiceCommand('main-agent', {
    ...(options.mainProgram !== undefined && { [mainInstalled]: options.mainProgram }),
    '/opt/sallyport/': root,
    '/run/main-agent-watch': watchedBeside(files.main.config),
    '%d': dirname(files.main.config),
  });
  const main = supervise({
    name: 'main-agent',
    ...command,
    logFile: files.main.log,
    onStart,
  });
  const [one, ...others] = listNodes(files, secrets, provision);
  const first = startNode(one, { isDmzCutOff, workers, onStart });
  const nodes = [first, ...others.map((node) => startNode(node, { isDmzCutOff, workers, onStart }))];
  const stop = async (): Promise<void> => {
    rmSync(files.demoJson, { force: true });
    await Promise.all([...nodes.map((node) => node.process.stop()), main.stop()]);
    await mail.close();
  };
  try {
    const logs = [...nodes.map((node) => node.files.log), files.main.log];
    await waitUntilReady([...nodes.map((node) => node.health), mainHealth], logs);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    files,
    nodes,
    https: first.https,
    sftp: first.sftp,
    dmz: first.process,
    users: secrets.users,
    main,
    mainHealth,
    isDmzCutOff,
    publish: () => {
      published = true;
      write();
    },
    stop,
  };
}

function startNode(
  { name, files, ...ports }: ProvisionedNode,
  how: { readonly isDmzCutOff: boolean; readonly workers: number; readonly onStart: () => void },
): SiteNode {
  const { httpsPort: https, sftpPort: sftp, link, health } = ports;
  const moreLinks = Array.from({ length: how.workers - 1 }, (_, index): [string, number] => [
    `link-${index + 1}`,
    findFreePort(),
  ]);
  const listeners: InheritedListeners | undefined = how.isDmzCutOff
    ? bindListeners({ https, sftp, link, ...Object.fromEntries(moreLinks), health })
    : undefined;
  const { args, env } = readServiceCommand('dmz', {
    '/opt/sallyport/': root,
    '/run/dmz-watch': watchedBeside(files.config),
    '%d': dirname(files.config),
  });
  const hostKey = readFileSync(`${files.hostKey}.pub`, 'utf8').trim().split(' ').slice(0, 2).join(' ');
  return {
    name,
    files,
    https: `https://localhost:${ports.httpsPort}`,
    sftp: { host: '127.0.0.1', port: ports.sftpPort, hostKey },
    health: healthOf(ports.health),
    process: supervise({
      name,
      args,
      // As configs/systemd/workers.conf has it.
      env: how.workers === 1 ? env : { ...env, NODE_OPTIONS: '--allow-child-process' },
      ...(listeners !== undefined && { listeners }),
      logFile: files.log,
      onStart: how.onStart,
    }),
  };
}

/** Where a watch would leave what it found. */
function watchedBeside(config: string): string {
  return join(dirname(config), 'watched');
}

function healthOf(port: number): string {
  return `http://127.0.0.1:${port}`;
}

function side(config: string, pid: number | undefined, health: string): object {
  return { config, pid, health: `${health}/healthz`, metrics: `${health}/metrics` };
}

async function waitUntilReady(origins: readonly string[], logs: readonly string[]): Promise<void> {
  const end = performance.now() + readyMs;
  for (const origin of origins) {
    while (!(await isReady(origin))) {
      if (performance.now() > end)
        throw new Error(
          `a node did not become ready in ${readyMs / 1000} s\n${logs.map(lastLines).join('')}`,
        );
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  }
}

async function isReady(origin: string): Promise<boolean> {
  try {
    return (await fetch(`${origin}/readyz`, { signal: AbortSignal.timeout(2_000) })).ok;
  } catch {
    return false;
  }
}

function lastLines(file: string): string {
  if (!existsSync(file)) return '';
  return `${file}:\n${readFileSync(file, 'utf8').split('\n').slice(-8).join('\n')}`;
}
