import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Outcome, runProgram } from './clients/process.ts';
import { waitUntil } from './product.ts';

/**
 * Machines of a small world, as namespaces of this one: boxes with a systemd of their own, and a bare network with
 * nothing in it. Takes root. All of it is gone with the process that made it.
 */
export interface Place {
  /** A process that is in the place; its network is the place's. */
  readonly pid: number;
  run(command: string, args: readonly string[], options?: { readonly input?: string }): Promise<Outcome>;
  close(): Promise<void>;
}

export interface Box extends Place {
  /** A line for the box's own shell, as an administrator types it there; rejects when it fails. */
  shell(line: string, input?: string): Promise<string>;
}

const bootScript = fileURLToPath(new URL('./boot-box', import.meta.url));
const checkout = fileURLToPath(new URL('../..', import.meta.url));
/** A second when nobody else needs the processor. */
const bootMs = 60_000;

/** A network namespace without anything in it. */
export async function openNetwork(): Promise<Place> {
  const holder = spawnUntilWeEnd(['unshare', '--net', 'sh', '-c', 'ip link set lo up; exec sleep infinity']);
  const pid = holder.pid ?? 0;
  await waitUntil(() => readFileSync(`/proc/${pid}/comm`, 'utf8') === 'sleep\n', bootMs);
  return {
    pid,
    run: (command, args, options) =>
      runProgram('nsenter', ['-t', String(pid), '-n', command, ...args], options),
    close: () => end(holder),
  };
}

/** This checkout is at /mnt/checkout there, and `packages`, a folder, at /mnt/packages. */
export async function startBox(packages: string): Promise<Box> {
  const group = join(controlGroupRoot(), `sallyport-box-${randomBytes(6).toString('hex')}`);
  mkdirSync(group);
  const namespaces = ['--pid', '--mount', '--net', '--uts', '--ipc', '--cgroup'];
  // Its control groups lie below this one: it enters before it looks from inside.
  const enter = `echo $$ >${group}/cgroup.procs && exec "$@"`;
  const unshare = ['unshare', ...namespaces, '--fork', '--kill-child', bootScript, checkout, packages];
  const holder = spawnUntilWeEnd(['sh', '-c', enter, 'sh', ...unshare]);
  const close = async (): Promise<void> => {
    await end(holder);
    await waitUntil(() => removeGroups(group), bootMs);
  };
  try {
    const { pid: parent } = holder;
    await waitUntil(() => childOf(parent) !== undefined, bootMs);
    const pid = childOf(parent) ?? 0;
    const run: Place['run'] = (command, args, options) =>
      runProgram('nsenter', ['-t', String(pid), '-a', '-r', '-w', command, ...args], {
        ...options,
        // The box's own programs, not those of who runs the test.
        env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' },
      });
    await waitUntil(async () => {
      const { stdout } = await run('/usr/bin/systemctl', ['is-active', 'basic.target']);
      return stdout === 'active\n';
    }, bootMs);
    return {
      pid,
      run,
      async shell(line, input) {
        const { status, stdout, stderr } = await run('/bin/sh', ['-c', line], {
          ...(input !== undefined && { input }),
        });
        if (status !== 0) throw new Error(`${line}\nended with ${status}: ${stderr}${stdout}`);
        return stdout;
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A wire between two places, with an address at either end. */
export async function connect(
  one: { readonly place: Place; readonly name: string; readonly address: string },
  other: { readonly place: Place; readonly name: string; readonly address: string },
): Promise<void> {
  const endIn = ({ place, name }: typeof one): string[] => [name, 'netns', String(place.pid)];
  await must('ip', ['link', 'add', ...endIn(one), 'type', 'veth', 'peer', 'name', ...endIn(other)]);
  for (const { place, name, address } of [one, other]) {
    const enter = ['-t', String(place.pid), '-n', 'ip'];
    await must('nsenter', [...enter, 'address', 'add', address, 'dev', name]);
    await must('nsenter', [...enter, 'link', 'set', name, 'up']);
  }
}

async function must(command: string, args: readonly string[]): Promise<void> {
  const { status, stderr } = await runProgram(command, args);
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
}

function spawnUntilWeEnd(command: readonly string[]): ChildProcess {
  return spawn('setpriv', ['--pdeathsig', 'KILL', ...command], { stdio: 'ignore' });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
}

function childOf(pid: number | undefined): number | undefined {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  return children[0] === '' ? undefined : Number(children[0]);
}

/** Of the unified hierarchy, which some machines have beside older ones. */
function controlGroupRoot(): string {
  const mount = / - cgroup2 /;
  const line = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .find((one) => mount.test(one));
  if (line === undefined) throw new Error('this machine has no cgroup2');
  return line.split(' ')[4] ?? '';
}

/** False while something in it still ends. */
function removeGroups(folder: string): boolean {
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true }))
      if (entry.isDirectory() && !removeGroups(join(folder, entry.name))) return false;
    rmdirSync(folder);
    return true;
  } catch {
    return false;
  }
}

/** How long a dial may say nothing before it counts as dropped; wires here have no length. */
const dialMs = 1_500;

/** What somebody in the place gets who dials: `connected`, an error's code, or `silent`. UDP is only sent. */
export async function dial(
  from: Place,
  host: string,
  port: number,
  protocol: 'tcp' | 'udp' = 'tcp',
): Promise<string> {
  const say = '(word) => { console.log(word); process.exit(); }';
  const script =
    protocol === 'tcp'
      ? `const say = ${say};
         require('node:net').connect(${port}, '${host}')
           .on('connect', () => say('connected')).on('error', ({ code }) => say(code));
         setTimeout(say, ${dialMs}, 'silent');`
      : `const say = ${say};
         require('node:dgram').createSocket('udp4')
           .send('?', ${port}, '${host}', (error) => say(error?.code ?? 'sent'));`;
  // The network of the place, the Node of ours.
  const enter = ['-t', String(from.pid), '-n', process.execPath, '-e', script];
  return (await runProgram('nsenter', enter)).stdout.trim();
}

/** Somebody in the place who takes every connection to a port. */
export async function listenOn(place: Place, port: number): Promise<Place> {
  const script = `require('node:net').createServer((socket) => socket.on('error', () => {})).listen(${port})`;
  const enter = ['nsenter', '-t', String(place.pid), '-n', process.execPath, '-e', script];
  const holder = spawnUntilWeEnd(enter);
  await waitUntil(async () => (await dial(place, '127.0.0.1', port)) === 'connected', bootMs);
  return { ...place, close: () => end(holder) };
}
