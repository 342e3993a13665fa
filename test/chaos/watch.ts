import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { hashFile, type Version } from './ledger.ts';
import { openHttpsDoor } from './doors.ts';
import type { Who, World } from './world.ts';

/**
 * Looks at what uploads go to, all the time, on main's disk and through the HTTPS door: a name is absent or whole, what
 * it was or what it becomes.
 */

const diskPauseMs = 20;
const doorPauseMs = 200;
/** One look in so many reads the whole file; the others ask for its length, which no two files have in common. */
const wholeOneIn = 20;

export async function watchDisk(
  { ledger, isOver, waitForStorm }: World,
  random: (below: number) => number,
): Promise<void> {
  await waitForStorm();
  while (!isOver()) {
    for (const file of ledger.targets) {
      const before = ledger.allowedAt(file);
      const found = random(wholeOneIn) === 0 ? await readWhole(file) : await readLength(file);
      const allowed = [...before, ...ledger.allowedAt(file)];
      ledger.count('looks at an upload');
      if (!isOneOf(allowed, found))
        ledger.violate(`${file} was seen ${describe(found)}; it may be ${describeAll(allowed)}`);
    }
    await delay(diskPauseMs);
  }
}

/** `who` has every client's folder at `/NAME`. */
export async function watchDoor(world: World, who: Who, clients: readonly string[]): Promise<void> {
  const { ledger, isOver, site } = world;
  const door = await openHttpsDoor(world, who);
  await world.waitForStorm();
  while (!isOver()) {
    const client = clients[who.random(clients.length)] ?? '';
    const of = (): readonly string[] =>
      ledger.targets.filter((file) => file.startsWith(`${site.files.files}/${client}/`));
    const before = new Map(of().map((file) => [file, ledger.allowedAt(file)]));
    const entries = await door.list(`/${client}`);
    ledger.count('list');
    for (const [file, allowedBefore] of before) {
      const entry = entries.find(({ name }) => name === basename(file));
      const found = entry === undefined ? undefined : { bytes: entry.bytes };
      const allowed = [...allowedBefore, ...ledger.allowedAt(file)];
      if (!isOneOf(allowed, found))
        ledger.violate(`${file} is listed as ${describe(found)}; it may be ${describeAll(allowed)}`);
    }
    await delay(doorPauseMs);
  }
  await door.close();
}

type Seen = { readonly bytes: number; readonly sha256?: string } | undefined;

function isOneOf(allowed: readonly (Version | undefined)[], found: Seen): boolean {
  return allowed.some(
    (one) => one?.bytes === found?.bytes && (found?.sha256 === undefined || one?.sha256 === found.sha256),
  );
}

async function readWhole(file: string): Promise<Seen> {
  try {
    return await hashFile(file);
  } catch (error) {
    return whenAbsent(error);
  }
}

async function readLength(file: string): Promise<Seen> {
  try {
    return { bytes: (await stat(file)).size };
  } catch (error) {
    return whenAbsent(error);
  }
}

function whenAbsent(error: unknown): undefined {
  if (Reflect.get(Object(error), 'code') !== 'ENOENT') throw error;
}

const describe = (seen: Seen): string =>
  seen === undefined ? 'absent' : `${seen.bytes} bytes${seen.sha256 === undefined ? '' : ` ${seen.sha256}`}`;
const describeAll = (allowed: readonly Seen[]): string => [...new Set(allowed.map(describe))].join(' or ');
