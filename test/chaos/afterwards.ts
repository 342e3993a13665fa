import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Site } from '#scripts/demonstration/site.ts';
import { residentBytes } from '#test/bench/measure.ts';
import { runProgram } from '#test/harness/clients/process.ts';
import { waitUntil } from '#test/harness/product.ts';
import { hashFile, type Ledger, type Transfer } from './ledger.ts';
import type { World } from './world.ts';

/** What must be true when everybody has gone: nothing is left, nothing grew, and the audit tells what was done. */

/** Bytes by process. */
export interface Resident {
  readonly node: number;
  readonly main: number;
}

/** Descriptors by process. */
interface Descriptors {
  readonly node: readonly string[];
  readonly main: readonly string[];
}

/** Bytes come back with the next collections and trims of a heap. */
const settleMs = 30_000;
/** A listener, timer or log more or less is no leak; each file, session or stream that is left is one descriptor. */
const descriptorsSlack = 4;
/** What a heap moves by, between two looks at one that does not grow: a collection more or less, and pools. */
const residentSlack = 64 * 1024 * 1024;

export function readDescriptors(site: Site): Descriptors {
  return { node: descriptorsOf(site.dmz.pid), main: descriptorsOf(site.main.pid) };
}

export function readResident(site: Site): Resident {
  return { node: residentBytes(site.dmz.pid ?? 0), main: residentBytes(site.main.pid ?? 0) };
}

export async function checkAfterwards(
  world: World,
  { before, warm }: { readonly before: Descriptors; readonly warm: Resident | undefined },
): Promise<Resident> {
  const { site, ledger } = world;
  await requireNothingLeft(site, ledger, before);
  for (const file of ledger.targets) {
    const [allowed] = ledger.allowedAt(file);
    if (allowed !== undefined && (await hashFile(file)).sha256 !== allowed.sha256)
      ledger.violate(`${file} is not what was stored there last`);
  }
  const verified = await sallyport(site, 'audit', 'verify');
  if (verified.status !== 0)
    ledger.violate(`audit verify ended with ${verified.status}: ${verified.stdout}${verified.stderr}`);
  compareWithAudit(site, ledger);
  const resident = readResident(site);
  for (const name of ['node', 'main'] as const)
    if (warm !== undefined && resident[name] > warm[name] + residentSlack)
      ledger.violate(
        `${name} has ${inMib(resident[name])} MiB; it had ${inMib(warm[name])} when it was warm`,
      );
  return resident;
}

export const inMib = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);

async function requireNothingLeft(site: Site, ledger: Ledger, before: Descriptors): Promise<void> {
  let left: readonly string[] = [];
  try {
    await waitUntil(async () => {
      left = await listLeft(site, before);
      return left.length === 0;
    }, settleMs);
  } catch {
    for (const what of left) ledger.violate(`left over: ${what}`);
  }
}

async function listLeft(site: Site, before: Descriptors): Promise<readonly string[]> {
  const now = readDescriptors(site);
  const grown = (['node', 'main'] as const).flatMap((name) =>
    now[name].length > before[name].length + descriptorsSlack
      ? [`${name} has ${now[name].length} descriptors open, before it had ${before[name].length}`]
      : [],
  );
  const staged = join(site.files.files, '.sallyport-staging');
  // The folders and the journal are open as long as main is.
  const ours = [staged, join(staged, 'bin'), join(staged, 'operations.journal')];
  const files = now.main.filter(
    (target) => target.startsWith(`${site.files.files}/`) && !ours.includes(target),
  );
  const staging = readdirSync(staged);
  const { status, stdout, stderr } = await sallyport(site, '--json', 'transfers', 'list');
  const { transfers } =
    status === 0
      ? (JSON.parse(stdout) as { readonly transfers: readonly object[] })
      : { transfers: [{ status, stderr }] };
  return [
    ...grown,
    ...files.map((target) => `main has ${target} open`),
    // What a replaced or finished upload leaves on purpose has other endings, and a time to go.
    ...staging.filter((name) => /\.(part|json)$/.test(name)).map((name) => `an upload, ${name}`),
    ...transfers.map((transfer) => `a transfer, ${JSON.stringify(transfer)}`),
  ];
}

function descriptorsOf(pid: number | undefined): readonly string[] {
  if (pid === undefined) return [];
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch {
      // It was closed meanwhile.
      return [];
    }
  });
}

function sallyport(site: Site, ...args: readonly string[]): ReturnType<typeof runProgram> {
  const program = fileURLToPath(new URL('../../scripts/sallyport', import.meta.url));
  return runProgram(program, ['--socket', site.files.main.socket, ...args]);
}

/** Each transfer that was answered well has its record once, with its size, and so has each change of names. */
function compareWithAudit(site: Site, ledger: Ledger): void {
  const records = readFileSync(site.files.main.audit, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ outcome }) => outcome === 'ok');
  const written = countAll(
    records
      .filter(({ event }) => event === 'file.upload' || event === 'file.download')
      .map((record) => keyOf(record as unknown as Transfer)),
  );
  const made = countAll(ledger.transfers.map(keyOf));
  for (const key of new Set([...written.keys(), ...made.keys()]))
    if (written.get(key) !== made.get(key))
      ledger.violate(`${key}: ${made.get(key) ?? 0} times, and ${written.get(key) ?? 0} records`);
  const changes = countAll(
    records
      .filter(({ event }) => ['file.mkdir', 'file.rename', 'file.delete'].includes(String(event)))
      .map(({ event, user }) => `${String(event)} ${String(user)}`),
  );
  for (const key of new Set([...changes.keys(), ...ledger.changes.keys()]))
    if (changes.get(key) !== ledger.changes.get(key))
      ledger.violate(`${key}: ${ledger.changes.get(key) ?? 0} times, and ${changes.get(key) ?? 0} records`);
}

const keyOf = ({ event, user, path, bytes }: Transfer): string => `${event} ${user} ${path}, ${bytes} bytes`;

function countAll(keys: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  return counts;
}
