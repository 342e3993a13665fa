/**
 * `./scripts/demo`: starts a whole installation on loopback, proves that it works, says where to click, runs until
 * Ctrl-C. `./scripts/demo code USER` prints the code USER's authenticator app shows now.
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Authenticator } from './codes.ts';
import { lockFolder } from './folder-lock.ts';
import { holdPort } from './free-port.ts';
import { readSecrets } from './secrets.ts';
import { type CheckResult, runSelfCheck } from './self-check.ts';
import { type Site, startSite } from './site.ts';
import { siteFiles } from './site-files.ts';
import { selfCheckUser } from './users.ts';

const usage = `usage: ./scripts/demo [--dir D] [--https-port N] [--sftp-port N] [--once] [--quiet]
       ./scripts/demo [--dir D] code USER
Ports: 8443 and 2022 unless they are taken; 0 takes a free one.
`;

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}

function readOptions() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        dir: { type: 'string', default: '.demo' },
        'https-port': { type: 'string' },
        'sftp-port': { type: 'string' },
        once: { type: 'boolean', default: false },
        quiet: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    return fail(`${error instanceof Error ? error.message : String(error)}\n${usage}`);
  }
}

/** The named port, or else the usual one where it can be had. */
function choosePort(named: string | undefined, usual: number, door: string): number {
  if (named !== undefined) return requirePort(named);
  try {
    return holdPort(usual, door);
  } catch {
    process.stderr.write(`Port ${usual} is taken, ${door} gets another\n`);
    return 0;
  }
}

function requirePort(text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535)
    fail(`${text} is not a port.\nhint: a number from 0 to 65535`);
  return port;
}

const { values, positionals } = readOptions();
const dir = resolve(values.dir);
if (values.help) {
  process.stdout.write(usage);
  process.exit(0);
}
if (positionals.length > 0) {
  const [verb, name = ''] = positionals;
  if (verb !== 'code' || positionals.length !== 2) fail(usage);
  const secret = readSecrets(siteFiles(dir))?.users[name]?.totpSecret;
  if (secret === undefined) fail(`${name} has no authenticator in ${dir}.\nhint: start ./scripts/demo first`);
  process.stdout.write(`${new Authenticator(secret).now()}\n`);
  process.exit(0);
}

let site: Site | undefined;
let stopping = false;
const stop = (status: number): void => {
  if (stopping) return;
  stopping = true;
  const done = (): void => process.exit(status);
  if (site === undefined) done();
  else site.stop().then(done, done);
};
process.on('SIGINT', () => stop(0));
process.on('SIGTERM', () => stop(0));

try {
  await lockFolder(dir, values.once);
  site = await startSite({
    dir,
    httpsPort: choosePort(values['https-port'], 8443, 'HTTPS'),
    sftpPort: choosePort(values['sftp-port'], 2022, 'SFTP'),
  });
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  if (values.once) reportOnce([{ name: 'start', ok: false, ms: 0, error: message }]);
  else process.stderr.write(`The demo did not start: ${message}\n`);
  process.exit(1);
}

const results = await check(site);
const failed = results.filter((result) => !result.ok);
if (values.once) {
  await site.stop();
  reportOnce(results);
  process.exit(failed.length === 0 ? 0 : 1);
}
if (failed.length > 0) {
  for (const { name, error } of failed) process.stderr.write(`self-check failed: ${name}: ${error ?? ''}\n`);
  process.stderr.write(`hint: ${site.files.dmz.log} and ${site.files.main.log} say more\n`);
  await site.stop();
  process.exit(1);
}
site.publish();
if (!values.quiet) process.stdout.write(describeSite(site, results));

async function check(running: Site): Promise<CheckResult[]> {
  const user = running.users[selfCheckUser];
  const authenticator = new Authenticator(user?.totpSecret ?? '');
  return runSelfCheck({
    https: running.https,
    caFile: running.files.ca,
    sftp: running.sftp,
    username: selfCheckUser,
    password: user?.password ?? '',
    nextCode: () => authenticator.next(),
  });
}

function reportOnce(checks: readonly CheckResult[]): void {
  process.stdout.write(`${JSON.stringify({ ok: checks.every((one) => one.ok), checks })}\n`);
}

function describeSite(running: Site, checks: readonly CheckResult[]): string {
  const { users, files, sftp } = running;
  const line = (name: string, what: string): string =>
    `  ${name.padEnd(6)} ${(users[name]?.password ?? '(key)').padEnd(21)} ${what}`;
  return [
    '',
    `Sallyport runs, ${checks.length} checks passed.`,
    '',
    `  Web    ${running.https}   (certificate authority: ${files.ca})`,
    `  SFTP   sftp -P ${sftp.port} alice@${sftp.host}`,
    `  Codes  ./scripts/demo code alice`,
    `  Admin  npx sallyport --socket ${files.main.socket} status`,
    `  Mail   ${files.mail}`,
    `  Files  ${files.files}`,
    '',
    line('alice', 'password and authenticator code'),
    line('bob', 'password and a mailed code; may set up an authenticator'),
    line('carol', 'password; may set up an authenticator, which is then required'),
    line('dave', 'password; must set up an authenticator first'),
    line('erin', `key ${users['erin']?.sshKeyFile ?? ''} and code`),
    line('frank', 'password only'),
    '',
    running.isDmzCutOff
      ? 'The DMZ node has its listening sockets and no network: it can dial nobody.'
      : 'As root the DMZ node would run without a network, as it is deployed; here it has yours.',
    'Ctrl-C ends it.',
    '',
  ].join('\n');
}
