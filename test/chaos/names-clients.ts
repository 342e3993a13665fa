import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openHttpsDoor, openSftpDoor, type Answer, type Door } from './doors.ts';
import type { Client } from './transfer-clients.ts';
import { storedAt, type Who, type World } from './world.ts';

/**
 * Clients that make, move, remove and look at names. Each has a folder that only it changes, and a model of it: what was
 * answered must be what the model says, so an operation that was done twice or not at all is a difference.
 */

/** Few names, so that most things are in each other's way. */
const names = ['a', 'b', 'c', 'd'];
const depthMax = 3;
const restMsMax = 60;
/** Sent in one go at most, where the door keeps the order. */
const burstMax = 5;

interface Step {
  readonly what: string;
  readonly expected: Answer;
  /** What the audit calls it. */
  readonly event: string;
  readonly bytes?: number;
  readonly path: string;
  run(door: Door): Promise<Answer>;
}

/** What lies below a folder: a folder is `undefined`, a file its text. */
class Model {
  readonly #entries = new Map<string, string | undefined>();
  #files = 0;

  constructor(root: string) {
    this.#entries.set(root, undefined);
  }

  get paths(): readonly string[] {
    return [...this.#entries].map(([path, text]) => (text === undefined ? `${path}/` : `${path}: ${text}`));
  }

  isFolder(path: string): boolean {
    return this.#entries.has(path) && this.#entries.get(path) === undefined;
  }

  children(path: string): readonly { readonly name: string; readonly text: string | undefined }[] {
    return [...this.#entries]
      .filter(([entry]) => parentOf(entry) === path)
      .map(([entry, text]) => ({ name: entry.slice(path.length + 1), text }));
  }

  makeFolder(path: string): Step {
    const expected = this.#mayMake(path);
    if (expected === 'ok') this.#entries.set(path, undefined);
    return {
      what: `mkdir ${path}`,
      expected,
      event: 'file.mkdir',
      path,
      run: (door) => door.makeFolder(path),
    };
  }

  createExclusive(path: string, encode: (text: string) => string): Step {
    const expected = this.#mayMake(path);
    this.#files += 1;
    const text = `file ${this.#files}`;
    const stored = encode(text);
    if (expected === 'ok') this.#entries.set(path, stored);
    return {
      what: `create ${path}`,
      expected,
      event: 'file.upload',
      bytes: stored.length,
      path,
      run: (door) => door.createExclusive(path, text),
    };
  }

  /** What is there by its kind; what is not there as a file. */
  remove(path: string): Step {
    const isFolder = this.isFolder(path);
    const expected =
      this.#entries.has(path) && !(isFolder && this.children(path).length > 0) ? 'ok' : 'refused';
    if (expected === 'ok') this.#entries.delete(path);
    return {
      what: `remove ${path}`,
      expected,
      event: 'file.delete',
      path,
      run: (door) => (isFolder ? door.removeFolder(path) : door.removeFile(path)),
    };
  }

  rename(from: string, to: string): Step {
    const below = `${from}/`;
    const expected = this.#entries.has(from) && this.#mayMake(to) === 'ok' ? 'ok' : 'refused';
    if (expected === 'ok')
      for (const [path, text] of this.#entries) {
        if (path !== from && !path.startsWith(below)) continue;
        this.#entries.delete(path);
        this.#entries.set(`${to}${path.slice(from.length)}`, text);
      }
    return {
      what: `rename ${from} to ${to}`,
      expected,
      event: 'file.rename',
      path: from,
      run: (door) => door.rename(from, to),
    };
  }

  #mayMake(path: string): Answer {
    return !this.#entries.has(path) && this.isFolder(parentOf(path)) ? 'ok' : 'refused';
  }
}

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf('/'));

export const sftpNames: Client = (world, who) => changeNames(world, who, openSftpDoor, (text) => text);
export const httpsNames: Client = (world, who) =>
  changeNames(world, who, openHttpsDoor, (text) => JSON.stringify({ text }));

async function changeNames(
  world: World,
  who: Who,
  open: (world: World, who: Who) => Promise<Door>,
  encode: (text: string) => string,
): Promise<void> {
  const root = '/tree';
  await mkdir(storedAt(world, who, root), { recursive: true });
  const model = new Model(root);
  const door = await open(world, who);
  // Races go on through it when this one has ended: it is closed after all.
  world.doors.push(door);
  await world.waitForStorm();
  while (!world.isOver()) {
    const count = door.keepsOrder && who.random(4) === 0 ? 2 + who.random(burstMax - 1) : 1;
    const steps = Array.from({ length: count }, () => pickStep(model, who, encode, count === 1));
    const answers = await Promise.all(steps.map((step) => step.run(door)));
    for (const [index, step] of steps.entries()) checkStep(world, who, step, answers[index], count);
    if (who.random(3) === 0) await look(world, who, door, model);
    await delay(who.random(restMsMax));
  }
  compareWithDisk(world, who, model);
}

function pickPath({ random }: Who): string {
  const depth = 1 + random(depthMax);
  return ['/tree', ...Array.from({ length: depth }, () => names[random(names.length)])].join('/');
}

function pickStep(model: Model, who: Who, encode: (text: string) => string, isAlone: boolean): Step {
  const path = pickPath(who);
  switch (who.random(isAlone ? 5 : 4)) {
    case 0:
      return model.makeFolder(path);
    case 1:
      return model.remove(path);
    case 4:
      // Three requests: they are not sent in one go with others.
      return model.createExclusive(path, encode);
    default: {
      let to = pickPath(who);
      // Into itself nothing can be moved, and each door has its own word for that.
      while (to === path || to.startsWith(`${path}/`)) to = pickPath(who);
      return model.rename(path, to);
    }
  }
}

function checkStep(
  { ledger }: World,
  { name: user }: Who,
  step: Step,
  answer: Answer | undefined,
  count: number,
): void {
  const { what, expected, event, bytes, path } = step;
  ledger.count(what.split(' ')[0] ?? '');
  if (answer !== expected)
    ledger.violate(
      `${user}: ${what} (${count} in one go) was ${answer ?? 'nothing'}, the model says ${expected}`,
    );
  if (answer !== 'ok') return;
  if (event === 'file.upload') ledger.transferred({ event, user, path, bytes: bytes ?? 0 });
  else ledger.changed(event, user);
}

/** A folder as the door shows it. What is none one door lists as a file, and the other gives. */
async function look({ ledger }: World, who: Who, door: Door, model: Model): Promise<void> {
  const path = parentOf(pickPath(who));
  if (!model.isFolder(path)) return;
  const found = await door.list(path);
  ledger.count('list');
  const shown = found.map(({ name, isFolder, bytes }) => `${name} ${isFolder ? 'folder' : bytes}`);
  const expected = model.children(path).map(({ name, text }) => `${name} ${text?.length ?? 'folder'}`);
  const [is, should] = [shown, expected].map((entries) => entries.toSorted().join(', '));
  if (is !== should) ledger.violate(`${who.name}: list of ${path} shows ${is}, the model says ${should}`);
}

function compareWithDisk(world: World, who: Who, model: Model): void {
  const walk = (path: string): string[] => [
    `${path}/`,
    ...readdirSync(storedAt(world, who, path), { withFileTypes: true }).flatMap((entry) => {
      const at = `${path}/${entry.name}`;
      return entry.isDirectory() ? walk(at) : [`${at}: ${readFileSync(storedAt(world, who, at), 'utf8')}`];
    }),
  ];
  const found = walk('/tree').toSorted();
  const expected = model.paths.toSorted();
  if (found.join('\n') !== expected.join('\n'))
    world.ledger.violate(
      `${who.name}: the disk has ${found.join(', ')}; the model says ${expected.join(', ')}`,
    );
}

// — who comes and goes —

const visitPauseMs = 2_000;

/** Signs in, looks, and leaves, at one door and the other in turns: what a login leaves behind would add up. */
export const visitor: Client = async (world, who) => {
  await mkdir(storedAt(world, who, ''), { recursive: true });
  await world.waitForStorm();
  for (let turn = 0; !world.isOver(); turn += 1) {
    const door = await (turn % 2 === 0 ? openHttpsDoor : openSftpDoor)(world, who);
    await door.list('/');
    await door.close();
    world.ledger.count('visits');
    await delay(who.random(visitPauseMs));
  }
};

// — many at one name —

const racePauseMs = 1_500;

/** Again and again all doors make the same name, in turns a file, a folder, and a rename of one file: one may win. */
export async function raceForNames(world: World, random: (below: number) => number): Promise<void> {
  const shared = join(world.site.files.files, 'shared');
  await world.waitForStorm();
  for (let race = 0; !world.isOver(); race += 1) {
    await delay(racePauseMs / 2 + random(racePauseMs));
    const doors = world.doors.filter(() => random(4) > 0);
    if (doors.length < 2) continue;
    const name = `race-${race}`;
    const kind = (['file', 'folder', 'rename'] as const)[random(3)];
    if (kind === 'rename') {
      const maker = doors[0];
      if ((await maker?.createExclusive(`/shared/${name}`, 'token')) !== 'ok') {
        world.ledger.violate(`${name}: a name that nobody had could not be made`);
        continue;
      }
      noteMade(world, maker?.user ?? '', `/shared/${name}`);
    }
    const answers = await Promise.all(
      doors.map((door) => {
        if (kind === 'file') return door.createExclusive(`/shared/${name}`, door.user);
        if (kind === 'folder') return door.makeFolder(`/shared/${name}`);
        return door.rename(`/shared/${name}`, `/shared/${name}-of-${door.user}`);
      }),
    );
    world.ledger.count('races');
    const winners = doors.filter((_, index) => answers[index] === 'ok').map(({ user }) => user);
    const [winner = ''] = winners;
    if (winners.length !== 1) {
      world.ledger.violate(`${name} (${kind}): won by ${winners.join(' and ') || 'nobody'}`);
      continue;
    }
    if (kind === 'file') noteMade(world, winner, `/shared/${name}`);
    else world.ledger.changed(kind === 'folder' ? 'file.mkdir' : 'file.rename', winner);
    const ends =
      kind === 'file'
        ? readFileSync(join(shared, name), 'utf8').includes(winner)
        : existsSync(join(shared, kind === 'folder' ? name : `${name}-of-${winner}`));
    if (!ends) world.ledger.violate(`${name} (${kind}): the disk does not have what ${winner} made`);
  }
}

function noteMade({ ledger, site }: World, user: string, path: string): void {
  const { length } = readFileSync(join(site.files.files, path));
  ledger.transferred({ event: 'file.upload', user, path, bytes: length });
}
